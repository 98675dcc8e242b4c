"""What the commands but `train` do: each one function, with a result and no printing."""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digitmlp import files, folder, recognizer, results, runfolder, sources
from digitmlp.digits import PIXELS, Digits, concatenate
from digitmlp.errors import ConfigError, DataError, DigitmlpError, ModelError
from digitmlp.metrics import COLDEST, HOTTEST
from digitmlp.recognizer import Recognizer

if TYPE_CHECKING:
    from digitmlp.reading import Reading


def evaluate(
    data: str, model: Path | None, include_training: bool = False, threads: int | None = None
) -> dict[str, Any]:
    """Return how well the model reads DATA's labelled test part, and what was passed over.

    Without such a part: the validation rows that the run recorded where DATA is what the model
    was trained on, else all labelled rows. Raises DataError where only rows trained on are left,
    unless these are included.
    """
    loaded = recognizer.load(model, threads)
    source = sources.open_source(data)
    tested = source.read_labelled_test()
    digits = source.read_train() if tested is None else tested
    if include_training:
        if tested is not None and source.train:
            digits = concatenate([source.read_train(), tested])
    elif (digest := digits.digest()) in loaded.card.also:
        raise DataError(
            f"{source.name}: the model was trained on all of these rows; give other data, or "
            "--include-training"
        )
    elif digest == loaded.card.data:
        run = recognizer.find(model).parent
        rows = runfolder.validation_rows(run, loaded.card, len(digits))
        if not rows:
            raise DataError(
                f"{source.name}: the model was trained on these rows and no validation rows are "
                "recorded beside it; give its run folder, other data, or --include-training"
            )
        digits = digits.select(np.array(rows, np.intp))
    judged = results.judge(loaded.predict_proba(digits.images), digits.labels)
    if judged is None:
        raise DataError(f"{data}: no labelled digits; evaluation needs at least one")
    return judged | {"passed_over": source.bad}


def predict(
    data: str,
    model: Path | None,
    out: Path,
    probabilities: bool = False,
    threads: int | None = None,
) -> list[str]:
    """Write the predictions for DATA's test part to `out`; return what was passed over.

    Raises DataError where DATA has no test part, and OutputError before any work where `out`
    cannot be written.
    """
    files.check_output(out, data)
    loaded = recognizer.load(model, threads)
    source = sources.open_source(data)
    results.predict(source, source.stream_test(), loaded, out, probabilities)
    return source.bad


def show(data: str, out: Path, rows: int, columns: int, seed: int) -> list[str]:
    """Draw a grid of digits of DATA, with labels where there are any, into a PNG file; return
    what was passed over.
    """
    from digitmlp import figures

    files.check_output(out, data)
    if out.suffix.lower() != ".png" and not files.is_stream(out):
        raise ConfigError(f"{out}: a PNG is written; expected a name that ends in .png")
    source = sources.open_source(data)
    digits = source.read_train() if source.train else next(source.stream_test(), Digits.none())
    if len(digits) == 0:
        raise DataError(f"{source.name}: no digits to show")
    figures.save(figures.samples(digits, rows, columns, seed), out)
    return source.bad


def read(
    paths: Iterable[Path],
    model: Path | None,
    *,
    single: bool = False,
    explain: Path | None = None,
    threads: int | None = None,
) -> "Iterator[Reading | Unread]":
    """Yield what each picture says, in order; folders are gone through.

    What cannot be read is yielded as Unread, and the others are read all the same. With `explain`
    a picture of each reading is saved in that folder.
    """
    from digitmlp import reading
    from digitmlp.explain import save_explanation

    loaded = recognizer.load(model, threads)
    if explain:
        files.make_folder(explain)
    number = 0
    for given in paths:
        before = number
        bad: list[str] = []
        for path in folder.pictures_in(given, bad):
            number += 1
            try:
                if not stat.S_ISREG(path.stat().st_mode):
                    raise DataError(f"{path}: is no file; expected a picture")
                result = reading.read(path, loaded, single=single)
            except OSError as error:
                yield Unread(str(path), f"{path}: cannot be read: {error.strerror}")
            except DataError as error:
                yield Unread(str(path), str(error))
            else:
                if explain:
                    save_explanation(result, explain / f"{number:04}-{path.stem[:60]}.png")
                yield result
        if number == before and not bad:
            bad.append(f"{given}: holds no pictures; give a picture or a folder with some")
        for sentence in bad:
            yield Unread(str(given), sentence)


@dataclass(frozen=True, slots=True)
class Unread:
    """A picture that could not be read, and the sentence that says why."""

    picture: str
    error: str

    def to_dict(self) -> dict[str, Any]:
        """Return what `digitmlp read --json` prints."""
        return {"picture": self.picture, "error": self.error}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run folder in a line; None for what it does not have (yet)."""

    folder: str
    preset: str
    data: str
    validation: float | None
    test: float | None
    seconds: float | None
    sha256: str | None


def runs(folder: Path) -> list[RunSummary]:
    """Return the run folders in a folder, by name; a damaged one has only its name.

    Raises DataError where there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one with run folders in it")
    summaries = []
    for path in sorted(folder.glob("*/config.json")):
        try:
            settings = runfolder.read_json(path)
            done = path.with_name("metrics.json")
            measured = runfolder.read_json(done) if done.exists() else {}
            summary = RunSummary(
                str(path.parent),
                str(settings["preset"]),
                str(settings["data"]["name"]),
                _number(measured, "validation", "accuracy"),
                _number(measured, "test", "accuracy"),
                _number(measured, "seconds", "total"),
                str(measured["model_sha256"]) if measured else None,
            )
        except (DigitmlpError, LookupError, TypeError, ValueError):
            summary = RunSummary(str(path.parent), "damaged", "", None, None, None, None)
        summaries.append(summary)
    return summaries


def _number(measured: dict[str, Any], part: str, name: str) -> float | None:
    values = measured.get(part)
    return None if values is None else float(values[name])


def export(
    runs: list[Path], out: Path, compact: bool = False, temperature: float | None = None
) -> Recognizer:
    """Write the run's model.onnx to `out` after checking it; return it loaded.

    Several runs become one committee, whose temperature and thresholds are the means of theirs
    (the one of views only where all have it);
    with `compact`, weights are rounded to 8 bits; a `temperature` takes the place of theirs.
    """
    if temperature is not None and not COLDEST <= temperature <= HOTTEST:
        raise ConfigError(f"temperature must be in [{COLDEST:g}, {HOTTEST:g}], got {temperature}")
    run, *others = runs
    if others or compact or temperature:
        return _export_anew(runs, out, compact, temperature)
    source = recognizer.find(run)
    files.check_output(out, str(source))
    loaded = recognizer.load(source)
    files.write(out, files.read_sealed(source)[0])
    return loaded


def _export_anew(
    runs: list[Path], out: Path, compact: bool, temperature: float | None
) -> Recognizer:
    from dataclasses import replace

    import torch

    from digitmlp import checkpoint
    from digitmlp import export as exports

    for run in runs:
        files.check_output(out, str(checkpoint.weights_of(run)))
    cards = [checkpoint.load_network(run)[1] for run in runs]
    network = checkpoint.load_committee(runs)
    # Of digits that they split otherwise than the first one, all count as learned.
    learned = dict.fromkeys(
        digest
        for card in cards
        for digest in ((card.data,) * (card.split != cards[0].split) + card.also)
    )
    of_views = [c.threshold_of_views for c in cards if c.threshold_of_views is not None]
    card = replace(
        cards[0],
        model=network.config,
        also=tuple(learned),
        held_out=cards[0].held_out if len(cards) == 1 else None,
        temperature=temperature or sum(card.temperature for card in cards) / len(cards),
        threshold=sum(card.threshold for card in cards) / len(cards),
        threshold_of_views=sum(of_views) / len(cards) if len(of_views) == len(cards) else None,
    )
    # Ink at random, which the check needs as little as any other to be real digits.
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (exports.COMPARED, PIXELS), generator=random).to(torch.uint8)
    return exports.save(out, network, card, images, compact)


def report(run: Path) -> Path:
    """Build the run's report.html again; return its path. Raises ModelError if it is no run."""
    from digitmlp import report

    if not (run / "config.json").exists():
        raise ModelError(f"{run}: not a run folder: it has no config.json")
    return report.build(run)
