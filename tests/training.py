"""Runs of a small network, as the tests of whole runs need them."""

from pathlib import Path

from digitmlp import run

MODELS = ("model.safetensors", "model.onnx")


def train(data: object, out: Path | None, **options) -> Path:
    """Train a small network for three epochs, unless other settings are given."""
    options = {"preset": "tutorial", "hidden": (16,), "epochs": 3, "batch_size": 16} | options
    model = {name: options.pop(name) for name in ("hidden", "members") if name in options}
    training = {
        name: options.pop(name)
        for name in (
            *("epochs", "batch_size", "learning_rate", "validation"),
            *("seed", "split_seed", "outliers"),
        )
        if name in options
    }
    data = None if data is None else str(data)
    folder, _ = run.train(data, out=out, model=model, training=training, **options)
    return folder


def resume(out: Path | None, data: object = None, **options) -> Path:
    """Resume with nothing but what is given."""
    given = dict.fromkeys(("preset", "hidden", "epochs", "batch_size"))
    return train(data, out, resume=True, **given | options)


def models(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in MODELS]


def leftovers(folder: Path) -> list[Path]:
    """Return the temporary files in a run folder."""
    return list(folder.rglob(".*"))
