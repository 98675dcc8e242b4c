"""Print, as JSON, what a training step of the preset `best` spends its time on."""

import itertools
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as `digitmlp train` sets them
os.environ.setdefault("OMP_PROC_BIND", "true")
import torch
from torch.profiler import ProfilerActivity, profile

from digitmlp import presets
from digitmlp import train as loop
from digitmlp.config import ModelConfig
from digitmlp.device import precision
from digitmlp.split import Batch

STEPS = 8
SIDE = 2048  # of the squares whose product is the yardstick
PRODUCT = re.compile(r"(mm|linear|matmul|_linear_pointwise)$")  # addmm, bmm, baddbmm, mkldnn's


def operations(model: ModelConfig, rows: int) -> int:
    """Return the multiplications and additions of a step: outputs, then gradients of weights and
    of activations; nobody asks for the gradient of the images.
    """
    widths = (model.inputs, *model.hidden, model.classes)
    first, *rest = (inputs * outputs for inputs, outputs in itertools.pairwise(widths))
    return 2 * rows * model.members * (2 * first + 3 * sum(rest))


def rate(multiply: Callable[[], object]) -> float:
    """Return the best rate of a product of squares, GFLOP/s."""
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - began)
    return 2 * SIDE**3 / min(seconds) / 1e9


def main() -> None:
    best = presets.preset("best")
    config = replace(best.training, epochs=2, min_steps=0)
    device = torch.device("cpu")
    rows = STEPS * config.batch_size
    random = torch.Generator().manual_seed(0)
    noise = Batch(
        torch.randint(256, (rows, best.model.inputs), generator=random).to(torch.uint8),
        torch.randint(best.model.classes, (rows,), generator=random),
    )
    epochs = loop.fit(loop.start(best.model, config, device), noise, None, config)
    next(epochs)  # warms up
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        seconds = next(epochs).seconds / STEPS
    spent = {
        event.key: event.self_cpu_time_total / 1e6 / STEPS for event in profiler.key_averages()
    }
    products = sum(time for name, time in spent.items() if PRODUCT.search(name))
    others = sorted(
        ((time, name) for name, time in spent.items() if not PRODUCT.search(name)), reverse=True
    )
    single = precision(config, device) == "float32"
    kind = torch.float32 if single else torch.bfloat16
    left, right = (torch.randn(SIDE, SIDE, generator=random).to(kind) for _ in range(2))
    pointwise = torch.ops.mkldnn._linear_pointwise
    print(
        json.dumps(
            {
                "seconds": seconds,
                "products": products,
                "share": products / seconds,
                "gflops": operations(best.model, config.batch_size) / products / 1e9,
                "mm": rate(lambda: torch.mm(left, right)),
                "onednn": rate(lambda: pointwise(left, right, None, "none", [], "")),
                "others": ", ".join(f"{name} {time / seconds:.1%}" for time, name in others[:6]),
            }
        )
    )


if __name__ == "__main__":
    main()
