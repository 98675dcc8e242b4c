"""The report of a run: one page that needs nothing but itself."""

import base64
import csv
import shlex
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from digitmlp import files, history, metrics, runfolder
from digitmlp.errors import DataError
from digitmlp.metrics import percent

FIGURES = ("samples", "curves", "confusion", "most-wrong", "calibration", "weights")
SUSPECTS = 15  # shown, of those in suspects.csv
SUSPECT_COLUMNS = ["row", "label", "prediction", "probability"]


def build(run: Path) -> Path:
    """Write report.html into a run folder from what lies in it, and return its path.

    What a run may lack (a test part, validation rows, suspects, figures) is left out. Raises
    ModelError or DataError where a file that it must have is missing or damaged, and
    OutputError where the page cannot be written.
    """
    page = _template().render(
        run=run.resolve().name,
        shell_path=shlex.quote(str(run)),
        python_path=repr(str(run)),
        submission=(run / "submission.csv").exists(),
        figures=_figures(run / "figures"),
        epochs=history.read(run / "history.csv"),
        suspects=_suspects(run / "suspects.csv"),
        shown=SUSPECTS,
        **_settings(run / "config.json"),
        **_measured(run / "metrics.json"),
    )
    path = run / "report.html"
    files.write(path, page)
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": percent, "setting": _setting}
    source = resources.files("digitmlp").joinpath("report.html.jinja").read_text("utf-8")
    return environment.from_string(source)


def _settings(path: Path) -> dict[str, Any]:
    """Return what config.json tells, in the form in which the page shows it."""
    config = runfolder.read_json(path)
    with _expecting(path):
        model, training, held_out = config["model"], config["training"], config["validation_rows"]
        outputs = model["classes"] + model.get("nothing", False)
        layers = [model["inputs"], *model["hidden"], outputs]
        deformed = training.get("augment") or {}
        return {
            "preset": config["preset"],
            "data": Path(config["data"]["name"]).name,
            "begun_with": _shown(config.get("from")),
            "teachers": [_shown(path) for path in config.get("teacher", ())],
            "also": [Path(more["source"]).name for more in config.get("also", ())],
            "data_sha256": config["data"]["sha256"],
            "network": "–".join(map(str, layers)),
            "members": int(model["members"]),
            "trained_on": int(config.get("trained_on", config["data"]["rows"] - len(held_out))),
            "held_out": len(held_out),
            "deformed": bool(deformed),
            "averaged_share": float(training.get("averaged", 0)),
            "epoch_chosen": training["schedule"] == "constant",  # by validation rows
            "device": config["device"],
            "device_name": config["device_name"],
            "threads": int(config["threads"]),
            "precision": config["precision"],
            "settings": {
                "Network": model,
                "Training": {name: training[name] for name in training if name != "augment"},
                "Deformation of the training images": deformed,
            },
            "versions": dict(config["versions"]),
        }


def _shown(model: str | None) -> str | None:
    """Return what to call the path of a run or of its weights; None for none."""
    if model is None:
        return None
    path = Path(model)
    return path.parent.name if path.name == "model.safetensors" else path.name


def _measured(path: Path) -> dict[str, Any]:
    """Return what metrics.json tells, in the form in which the page shows it."""
    measured = runfolder.read_json(path)
    with _expecting(path):
        parts = {
            name: _part(measured[name])
            for name in ("test", "validation")
            if measured[name] is not None
        }
        return {
            "parts": parts,
            "headline": next(iter(parts), None),  # the test part, if there is one
            "best_epoch": int(measured["best_epoch"]),
            "parameters": int(measured["parameters"]),
            "temperature": float(measured["temperature"]),
            "model_sha256": str(measured["model_sha256"]),
            "seconds": {name: float(value) for name, value in measured["seconds"].items()},
        }


def _part(judged: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured on the test part or the validation rows, and who is mistaken."""
    low, high = judged["confidence_interval"]
    matrix = judged["confusion"]
    pairs = metrics.worst_pairs(matrix)
    return {
        "count": int(judged["count"]),
        "mistakes": sum(count for _, _, count in pairs),
        "interval": f"{percent(low)} to {percent(high)}",
        **{name: float(judged[name]) for name in ("accuracy", "error", "ece", "loss")},
        "digits": metrics.digit_scores(matrix),
        "pairs": pairs[:3],
        "taken_for": dict.fromkeys(range(len(matrix)))
        | {true: (answer, count) for true, answer, count in reversed(pairs)},
    }


def _suspects(path: Path) -> list[dict[str, Any]]:
    """Return the rows of suspects.csv; none where there is no such file."""
    if not path.exists():
        return []
    with _expecting(path), path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
        if header != SUSPECT_COLUMNS:
            raise ValueError(f"columns {header}, expected {SUSPECT_COLUMNS}")
        return [
            {"row": int(row), "label": label, "prediction": answer, "probability": float(share)}
            for row, label, answer, share in rows
        ]


def _figures(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the figures that there are: address for the page, width and height in pixels."""
    figures = {}
    for name in FIGURES:
        path = folder / f"{name}.png"
        if not path.exists():
            continue
        with _expecting(path):
            content = path.read_bytes()
            if not content.startswith(b"\x89PNG\r\n\x1a\n"):
                raise ValueError("no PNG picture")
            width, height = struct.unpack(">II", content[16:24])
        address = f"data:image/png;base64,{base64.b64encode(content).decode()}"
        figures[name] = {"address": address, "width": width, "height": height}
    return figures


def _setting(value: Any) -> str:
    """Return a setting as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@contextmanager
def _expecting(path: Path) -> Iterator[None]:
    """Raise DataError naming the file where it is not what a training wrote."""
    try:
        yield
    except (OSError, LookupError, TypeError, ValueError, AttributeError, struct.error) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{path}: not what a training writes: {what}; train again") from error
