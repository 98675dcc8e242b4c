"""The run folder: which one a training gets, and what its config.json says."""

import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from digitmlp import config, files
from digitmlp.card import Card
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.digits import NAMED
from digitmlp.errors import ConfigError, ModelError, OutputError

RUNS = Path("runs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run is to do: all that has to be the same when it is resumed.

    data         the argument DATA, a path made absolute
    data_sha256  of the labelled digits; empty before they were read
    start        the model whose weights it starts from, a path made absolute; None: random ones
    start_learned  SHA-256 of each set of labelled digits that model learned
    teacher      the runs from whose committee it learns, paths made absolute
    also         more DATA whose labelled digits it learns, paths made absolute
    also_sha256  of the digits of each; empty before they were read
    device, threads  to compute on; not refused when others are given, but kept when none are
    """

    preset: str
    data: str
    model: ModelConfig
    training: TrainConfig
    data_sha256: str = ""
    start: str | None = None
    start_learned: tuple[str, ...] = ()
    teacher: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    also_sha256: tuple[str, ...] = ()
    device: str = "auto"
    threads: int | None = None


@contextmanager
def claimed(out: Path | None, preset: str, resume: bool) -> Iterator[Path]:
    """Hold a run folder for this process alone, made if need be; without `out` a new one.

    Where the run fails before it has written anything, what was made for it is removed again.
    Raises ConfigError when the folder holds anything, unless that is to be resumed, and
    OutputError when another process trains there or it cannot be written to.
    """
    try:
        made = out is None or not out.exists()
        folder = _new_folder(preset) if out is None else out
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: is a file; give a folder as --out")
        folder.mkdir(parents=True, exist_ok=True)
        if not resume and any(not _is_trace(path) for path in folder.iterdir()):
            has_run = (folder / "config.json").exists()
            raise ConfigError(
                f"{folder}: not empty; give another --out"
                + (", or go on with the run in it: --resume" if has_run else "")
            )
        state = folder / "state"
        state.mkdir(exist_ok=True)
        lock = files.FolderLock(state / "lock")
    except OSError as error:
        raise OutputError(
            f"{error.filename or out or RUNS}: cannot be written: {error.strerror}"
        ) from error
    with lock:
        for leftover in folder.rglob(".*.tmp"):  # of a process killed while it wrote
            leftover.unlink()
        try:
            yield folder
        except BaseException:
            if not (folder / "config.json").exists():
                with suppress(OSError):
                    (state / "lock").unlink()
                    state.rmdir()
                    if made:
                        folder.rmdir()
            raise


def _is_trace(path: Path) -> bool:
    """Return whether a run killed before it had written config.json leaves this in its folder."""
    return path.name == "state" or path.match(".config.json.*.tmp")


def _new_folder(preset: str) -> Path:
    RUNS.mkdir(exist_ok=True)
    number = 1
    while True:
        folder = RUNS / (preset if number == 1 else f"{preset}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def write_config(folder: Path, plan: Plan, validation_rows: list[int], **facts: Any) -> None:
    """Write config.json; the validation rows, counted from 0, on a line of their own."""
    settings = {
        "preset": plan.preset,
        "data": {"source": plan.data, "sha256": plan.data_sha256, **facts.pop("data")},
        "model": asdict(plan.model),
        "training": asdict(plan.training),
        "from": plan.start,
        "from_learned": plan.start_learned,
        "teacher": plan.teacher,
        "also": [
            {"source": source, "sha256": digest}
            for source, digest in zip(plan.also, plan.also_sha256, strict=True)
        ],
        **facts,
        "versions": versions(),
    }
    text = json.dumps(settings, indent=2).removesuffix("\n}")
    files.write(
        folder / "config.json", f'{text},\n  "validation_rows": {json.dumps(validation_rows)}\n}}\n'
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json as written; raises ModelError where it is missing or damaged."""
    return read_json(folder / "config.json")


def read_plan(folder: Path) -> Plan:
    """Return the plan that config.json records; raises ModelError."""
    settings = read_config(folder)
    try:
        return Plan(
            preset=settings["preset"],
            data=settings["data"]["source"],
            data_sha256=settings["data"]["sha256"],
            model=config.from_dict(ModelConfig, settings["model"]),
            training=config.from_dict(TrainConfig, settings["training"]),
            start=settings["from"],
            start_learned=tuple(settings.get("from_learned", ())),
            teacher=tuple(settings.get("teacher", ())),
            also=tuple(more["source"] for more in settings.get("also", ())),
            also_sha256=tuple(more["sha256"] for more in settings.get("also", ())),
            device=settings["device"],
            threads=settings["threads"],
        )
    except (KeyError, TypeError, ConfigError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ModelError(f"{folder / 'config.json'}: not a run's settings: {what}") from error


def validation_rows(folder: Path, card: Card, count: int) -> list[int]:
    """Return which of the `count` rows it was given, from 0, the run did not train this model on.

    None of them where the folder holds no run, or another than the model's. Raises ModelError.
    """
    if not (folder / "config.json").exists():
        return []
    plan = read_plan(folder)
    if (plan.data_sha256, plan.training.of_the_split, plan.training.validation) != card.split:
        return []
    rows: list[int] = read_config(folder).get("validation_rows", [])
    if not isinstance(rows, list) or not all(row in range(count) for row in rows):
        raise ModelError(
            f"{folder / 'config.json'}: validation_rows are not rows of the data; "
            f"expected numbers from 0 to {count - 1}"
        )
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; raises ModelError where it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: damaged: expected a JSON object")
    return values


def refuse_changes(before: Plan, now: Plan) -> None:
    """Raise ConfigError naming every setting in which a resumed run would differ.

    More epochs are allowed with a constant learning rate: the steps already taken stay the same.
    """
    training = now.training
    if training.schedule == "constant" and training.epochs > before.training.epochs:
        training = config.override(training, epochs=before.training.epochs)
    changes = config.differences(before.model, now.model)
    changes += config.differences(before.training, training)
    if before.start != now.start:
        changes.append(f"from {before.start} → {now.start}")
    if before.teacher != now.teacher:
        changes.append(f"teacher {before.teacher} → {now.teacher}")
    if before.also_sha256 != now.also_sha256:
        changes.append(f"also {_named_also(before)} → {_named_also(now)}")
    if before.data_sha256 != now.data_sha256:
        changes.append(f"data {before.data_sha256[:12]} ({before.data}) → {now.data_sha256[:12]}")
    if changes:
        raise ConfigError(
            f"a resumed run keeps its settings and data, but: {'; '.join(changes)}; "
            "leave them as they were, or start a new run with another --out"
        )


def _named_also(plan: Plan) -> str:
    pairs = zip(plan.also_sha256, plan.also, strict=True)
    return ", ".join(f"{digest[:12]} ({name})" for digest, name in pairs) or "nothing"


def absolute(data: str) -> str:
    """Return DATA with a path made absolute; the names of sources stay, as where it is opened."""
    is_path = data and data not in NAMED and Path(data).exists()
    return str(Path(data).resolve()) if is_path else data


def versions() -> dict[str, str]:
    """Return the versions of all that the numbers may depend on."""
    names = ("digitmlp", "numpy", "torch", "onnx", "onnxruntime", "scikit-learn", "safetensors")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def processor() -> str:
    """Return the name of the CPU."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
