"""The device that trains: which one, in what precision, and what makes it fast."""

import contextlib
from collections.abc import Iterator

import torch

from digitmlp import runfolder
from digitmlp.config import TrainConfig
from digitmlp.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Return the device of that name, the fastest there is for `auto`; raises ConfigError."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, here in found.items() if here), "cpu")
    if not found.get(name, name == "cpu"):
        here = ", ".join(["cpu", *(kind for kind, is_here in found.items() if is_here)])
        raise ConfigError(f"device {name} is not to be had here; found: {here}")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Return what the graphics card, or else the processor, calls itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return runfolder.processor()


def precision(config: TrainConfig, device: torch.device) -> str:
    """Return how matrix products are computed: `float32`, or rounded where that is native."""
    if config.precision == "float32" or device.type == "mps":
        return "float32"
    if device.type == "cuda":
        return "tf32" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bfloat16" if native else "float32"


@contextlib.contextmanager
def full_speed(config: TrainConfig, device: torch.device) -> Iterator[torch.dtype]:
    """Compute matrix products in the chosen precision, and denormal numbers as 0; give the type
    in which to keep what is multiplied.
    """
    chosen = precision(config, device)
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32" if chosen == "tf32" else "ieee"
    # Adam's averages of vanished gradients become denormal, which slows every step down.
    torch.set_flush_denormal(True)
    try:
        yield torch.bfloat16 if chosen == "bfloat16" else torch.float32
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
        torch.set_flush_denormal(False)
