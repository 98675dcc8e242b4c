"""The three matrix products of a layer, each by the fastest kernel at hand.

PyTorch multiplies float32 on a CPU with MKL, which on some processors (AMD's with AVX-512) reaches
less than half the speed of oneDNN: 223 against 515 GFLOP/s on two cores. On Intel's own it is the
faster one, most of all for small batches. oneDNN's product is called by the name that PyTorch's own
compiler uses for it, and where that is missing, as batched products are for the members of a
committee, `bmm` serves.
"""

import torch
from torch import Tensor

from digitmlp import runfolder


def outputs(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x · weight + bias, (members, B, outputs).

    x (members, B, inputs), weight (members, inputs, outputs), bias (members, 1, outputs)
    """
    if _is_for_onednn(x):
        return _onednn(x[0], weight[0].T, bias[0, 0])[None]
    return torch.baddbmm(bias, x, weight)


def of_inputs(gradient: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of the inputs, (members, B, inputs), given that of the outputs."""
    if _is_for_onednn(gradient):
        return _onednn(gradient[0], weight[0], None)[None]
    return torch.bmm(gradient, weight.mT)


def of_weights(x: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient of the weights, (members, inputs, outputs)."""
    if _is_for_onednn(x):
        return _onednn(x[0].T, gradient[0].T, None)[None]
    return torch.bmm(x.mT, gradient)


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return x · weightᵀ + bias."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return product


def _prefers_onednn(processor: str) -> bool:
    """Return whether oneDNN is there, and on the processor of that name the faster one."""
    at_home = torch.backends.mkl.is_available() and "intel" in processor.lower()  # type: ignore[no-untyped-call]
    return hasattr(torch.ops.mkldnn, "_linear_pointwise") and not at_home


_ONEDNN = _prefers_onednn(runfolder.processor())


def _is_for_onednn(x: Tensor) -> bool:
    return _ONEDNN and x.dtype == torch.float32 and x.device.type == "cpu" and len(x) == 1
