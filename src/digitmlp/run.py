"""The main job: from DATA to a run folder with a model, its measure and its predictions."""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from digitmlp import (
    checkpoint,
    config,
    export,
    history,
    metrics,
    presets,
    report,
    results,
    runfolder,
    sources,
)
from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.digits import CLASSES, Digits, Images, Source, concatenate
from digitmlp.errors import ConfigError, DataError, ModelError
from digitmlp.interrupt import Interrupted, deferred
from digitmlp.model import MLP, committee, score
from digitmlp.progress import Clock, EpochProgress, say
from digitmlp.recognizer import Recognizer
from digitmlp.runfolder import Plan
from digitmlp.split import Batch, Rows, stratified_split, tensors
from digitmlp.train import Training

SAVING_SHARE = 0.05  # of the time, that saving states may take
REFUSED = 1 / 400  # share of the validation digits that scores below the threshold
COMPARED = 1000  # images on which the export is checked against PyTorch
LONG_RUN = 1e14  # multiplications; a run with more of them says beforehand how long it takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A run whose data is read and split; rows are counted from 0."""

    folder: Path
    plan: Plan
    source: Source
    digits: Digits
    rows: Rows
    validation_rows: Rows
    train_set: Batch
    validation: Batch
    device: torch.device
    clock: Clock

    @property
    def card(self) -> Card:
        plan = self.plan
        learned = dict.fromkeys((*plan.also_sha256, *plan.start_learned))
        learned.pop(plan.data_sha256, None)
        return Card(
            model=plan.model, training=plan.training, data=plan.data_sha256, also=tuple(learned)
        )


def train(
    data: str | None = None,
    *,
    preset: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    fine_tune: Path | None = None,
    teacher: Sequence[Path] = (),
    also: Sequence[str] = (),
    device: str = "auto",
    threads: int | None = None,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Train on DATA, evaluate, predict its test part; return the run folder and metrics.json.

    also             more of what DATA may be, whose labelled digits are learned and not held out
    model, training  settings in place of the preset's; a None among them keeps the preset's
    """
    clock = Clock()
    before = _recorded(data, out) if resume else None
    plan = _plan(before, preset, model or {}, training or {})
    if fine_tune:
        begun = checkpoint.load_network(fine_tune)[1]
        learned = (begun.data, *begun.also)
        plan = replace(plan, start=str(fine_tune.resolve()), start_learned=learned)
    plan = replace(
        plan,
        data=plan.data if data is None else runfolder.absolute(data),
        teacher=tuple(str(path.resolve()) for path in teacher) or plan.teacher,
        also=tuple(map(runfolder.absolute, also)) or plan.also,
        device=plan.device if device == "auto" else device,
        threads=threads or plan.threads,
    )
    chosen = loop.choose_device(plan.device)
    if plan.threads:
        torch.set_num_threads(plan.threads)
    with (
        runfolder.claimed(out, plan.preset, resume=before is not None) as folder,
        _telling_how_to_go_on(folder),
    ):
        with clock("read"):
            job = _read(folder, plan, chosen, clock)
        if before:
            runfolder.refuse_changes(before, job.plan)
        teachers = _committee(job)
        state = _begin(job, resume)
        _write_config(job)
        _introduce(job, state)
        _fit(job, state, teachers)
        return folder, _finish(job, state)


@contextmanager
def _telling_how_to_go_on(folder: Path) -> Iterator[None]:
    """Add the command that goes on with the run to the message of an interruption."""
    try:
        yield
    except Interrupted as stop:
        if not (folder / "config.json").exists():
            raise
        command = f"digitmlp train --resume --out {shlex.quote(str(folder))}"
        raise Interrupted(stop.number, f"{stop}; go on with  {command}") from None


def _recorded(data: str | None, out: Path | None) -> Plan | None:
    """Return the plan of the run to resume; None where there is only DATA to start with."""
    if out is None:
        raise ConfigError("--resume needs --out with the run folder to go on with")
    if (out / "config.json").exists():
        return runfolder.read_plan(out)
    if data is None:
        raise ConfigError(
            f"{out}: no run to resume; expected a run folder with config.json, "
            "or DATA to start from"
        )
    return None


def _plan(
    before: Plan | None, preset: str | None, model: dict[str, Any], training: dict[str, Any]
) -> Plan:
    """Return what to do: the settings given, for the others the resumed run's or the preset's."""
    plan = before
    if plan is None or preset:
        name = preset or "fast"
        chosen = presets.preset(name)
        plan = plan or Plan(preset=name, data="uci", model=chosen.model, training=chosen.training)
        plan = replace(plan, preset=name, model=chosen.model, training=chosen.training)
    if training.get("epochs") is not None:
        training = {"min_steps": 0, **training}  # who says how many epochs means just that
    return replace(
        plan,
        model=config.override(plan.model, **model),
        training=config.override(plan.training, **training),
    )


def _read(folder: Path, plan: Plan, device: torch.device, clock: Clock) -> Job:
    """Read the labelled digits and split them; raises DataError where they cannot be learned."""
    source = sources.open_source(plan.data)
    digits = source.read_train()
    labels = digits.labels
    assert labels is not None
    found = np.unique(labels)
    if len(found) < 2:
        what = f"only the label {found[0]}" if len(found) else "no digits"
        raise DataError(f"{source.name}: {what}; training needs at least two classes")
    rows, validation_rows = stratified_split(
        labels, plan.training.validation, plan.training.of_the_split
    )
    more = _read_more(plan.also, source, digits.select(validation_rows).images)
    learned = concatenate([replace(digits.select(rows), names=None), *more])
    assert learned.labels is not None
    digests = tuple(part.digest() for part in more)
    return Job(
        folder=folder,
        plan=replace(plan, data_sha256=digits.digest(), also_sha256=digests),
        source=source,
        digits=digits,
        rows=rows,
        validation_rows=validation_rows,
        train_set=tensors(learned.images, learned.labels, device),
        validation=tensors(digits.images[validation_rows], labels[validation_rows], device),
        device=device,
        clock=clock,
    )


def _read_more(also: Sequence[str], source: Source, held_out: Images) -> list[Digits]:
    """Return the labelled digits of more sources, nameless; note what was passed over as of the
    first source. Raises DataError where a digit is one of those on which that is measured.
    """
    measured = [(held_out, "held out of {} for validation", ", or --validation 0")] if also else []
    for batch in source.test() if source.test and also else ():
        if batch.labels is None:
            break
        measured.append((batch.images, "in the test part of {}", ""))
    parts = []
    for name in also:
        more = sources.open_source(name)
        digits = more.read_train()
        source.bad.extend(more.bad)
        given = {image.tobytes() for image in digits.images}
        for images, place, remedy in measured:
            if shared := sum(image.tobytes() in given for image in images):
                raise DataError(
                    f"{name}: {shared:,} of its digits are {place.format(source.name)}; learned as "
                    f"well they would make it look better than it is: give other digits{remedy}"
                )
        parts.append(replace(digits, names=None))
    return parts


def _committee(job: Job) -> MLP | None:
    """Return the runs from whose answers it learns, if any, as one network."""
    for path in job.plan.teacher:
        _refuse_learned(job, path, checkpoint.load_network(Path(path))[1])
    return checkpoint.load_committee(job.plan.teacher) if job.plan.teacher else None


def _refuse_learned(job: Job, path: str, card: Card) -> None:
    """Raise DataError where the network of this card has learned digits that are held out here."""
    labels, theirs = job.digits.labels, card.training
    assert labels is not None
    learned, remedy = np.empty(0, np.int64), "give --validation 0"
    if job.plan.data_sha256 in card.also:
        learned = job.validation_rows
    elif card.data == job.plan.data_sha256:
        learned, _ = stratified_split(labels, theirs.validation, theirs.of_the_split)
        split = f"--validation {theirs.validation} --split-seed {theirs.of_the_split}"
        remedy = f"hold out the same ones, {split}, or none, --validation 0"
    if shared := np.isin(job.validation_rows, learned).sum():
        raise DataError(
            f"{path}: it learned {shared:,} of the {len(job.validation_rows):,} digits held out "
            f"here, which would make this run look better than it is: {remedy}"
        )


def _begin(job: Job, resume: bool) -> Training:
    """Return the training to go on with: the newest sound state, given weights, or new ones."""
    if resume:
        for path in checkpoint.states(job.folder / "state"):
            try:
                training, found = checkpoint.load_state(path, job.plan.training, job.device)
            except ModelError as error:
                say(f"warning: {error}; taking the state before it")
                continue
            then = replace(
                job.plan, model=found.model, training=found.training, data_sha256=found.data
            )
            runfolder.refuse_changes(then, job.plan)
            say(f"resuming after {len(training.history)} epochs, {training.step} steps: {path}")
            return training
        say("resuming: no sound state found, training from the start")
    training = loop.start(job.plan.model, job.plan.training, job.device)
    if job.plan.start:
        path = Path(job.plan.start)
        network, found = checkpoint.load_network(path)
        _refuse_learned(job, job.plan.start, found)
        if found.model != job.plan.model:
            raise ConfigError(
                f"{job.plan.start}: not the network that this run builds: "
                f"{'; '.join(config.differences(found.model, job.plan.model))}; "
                "give the preset and --hidden of that run"
            )
        training.network.load_state_dict(network.state_dict())
    return training


def _introduce(job: Job, training: Training) -> None:
    """Say what is about to happen, and how long it takes if it takes long."""
    plan, rows, weights = job.plan, len(job.train_set), training.network.parameter_count()
    say(
        f"{job.source.name}: {len(job.rows):,} × {plan.model.inputs} to train on, "
        f"{len(job.validation):,} to validate"
    )
    if plan.also:
        say(f"{', '.join(plan.also)}: {rows - len(job.rows):,} more to train on")
    threads = torch.get_num_threads()
    say(
        f"MLP {plan.model.describe()}: {weights:,} weights, on {job.device.type} "
        f"({_device_name(job.device)}, {threads} thread{'s' * (threads > 1)}, "
        f"{loop.precision(plan.training, job.device)})"
    )
    left = loop.epochs(plan.training, rows) - len(training.history)
    if 3 * rows * left * weights > LONG_RUN:
        seconds = left * loop.seconds_per_epoch(plan.model, plan.training, job.train_set)
        say(f"{left} epochs will take about {seconds / 60:.0f} minutes here")


def _write_config(job: Job) -> None:
    runfolder.write_config(
        job.folder,
        job.plan,
        job.validation_rows.tolist(),
        data={"name": job.source.name, "rows": len(job.digits)},
        trained_on=len(job.train_set),
        device=job.device.type,
        device_name=_device_name(job.device),
        threads=torch.get_num_threads(),
        precision=loop.precision(job.plan.training, job.device),
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return runfolder.processor()


def _fit(job: Job, training: Training, teacher: MLP | None) -> None:
    """Train to the end, saving states on the way; raises Interrupted after saving the last."""
    clock, config = job.clock, job.plan.training
    total = loop.epochs(config, len(job.train_set))
    validation = job.validation if len(job.validation) else None
    saved, cost = -np.inf, 0.0

    def save() -> None:
        nonlocal saved, cost
        began = time.perf_counter()
        with clock("save"):
            checkpoint.save_state(job.folder / "state", training, job.card)
            history.write(job.folder / "history.csv", training.history)
        saved = time.perf_counter()
        cost = saved - began

    with deferred() as signal, EpochProgress(total, len(training.history)) as progress:
        began = time.perf_counter() - training.seconds  # of an epoch that was interrupted
        try:
            for epoch in loop.fit(
                training, job.train_set, validation, config, signal, teacher, len(job.rows)
            ):
                clock.seconds["train"] += epoch.seconds
                clock.seconds["validate"] += time.perf_counter() - began - epoch.seconds
                progress.show(epoch)
                if epoch.epoch == total or time.perf_counter() - saved > cost / SAVING_SHARE:
                    save()
                began = time.perf_counter()
        except loop.Stopped:
            if training.history or training.step:
                save()
            place = f"stopped in epoch {len(training.history) + 1} of {total}"
            raise Interrupted(signal(), place) from None


def _finish(job: Job, training: Training) -> dict[str, Any]:
    """Export the best epoch, judge it, predict the test part, and report."""
    clock, folder, network = job.clock, job.folder, training.network
    network.load_state_dict(training.best)
    with clock("export"):
        recognizer, card = _export(job, network)
    with clock("predict"):
        held_out = job.digits.select(job.validation_rows)
        chances = recognizer.predict_proba(held_out.images)
        judged = results.judge(chances, held_out.labels)
        tested = None
        if job.source.test:
            submission = folder / "submission.csv"
            tested = results.predict(job.source, job.source.test(), recognizer, submission)
    result = {
        "validation": judged,
        "test": tested,
        "best_epoch": training.best_epoch,
        "parameters": network.parameter_count(),
        "temperature": card.temperature,
        "model_sha256": recognizer.sha256,
        "passed_over": job.source.bad,
    }
    with clock("report"):
        history.write(folder / "history.csv", training.history)
        results.write_suspects(folder / "suspects.csv", chances, held_out, job.validation_rows)
        results.draw(
            folder / "figures",
            job.digits.select(job.rows[:5000]),
            held_out,
            chances,
            job.validation_rows,
            training.history,
            training.best_epoch,
            network.first_layer().numpy(),
        )
    results.write_metrics(folder, result, clock)
    with clock("report"):
        report.build(folder)
    return results.write_metrics(folder, result, clock)


def _export(job: Job, network: MLP) -> tuple[Recognizer, Card]:
    """Write model.safetensors and model.onnx, calibrated on the validation rows.

    Without any, the temperature stays 1 and the threshold comes from rows trained on.
    """
    images = job.validation.images if len(job.validation) else job.train_set.images[:5000]
    logits = loop.predict_logits(network, images)
    temperature = metrics.fit_temperature(
        committee(logits, CLASSES)[: len(job.validation)].cpu().numpy(),
        job.validation.labels.cpu().numpy(),
    )
    threshold = float(np.quantile(score(logits, CLASSES).cpu().numpy(), REFUSED))
    held_out = None
    if len(job.validation):
        hits = committee(logits, CLASSES).argmax(-1) == job.validation.labels
        held_out = {"count": len(hits), "accuracy": round(hits.double().mean().item(), 6)}
    card = replace(job.card, temperature=temperature, threshold=threshold, held_out=held_out)
    checkpoint.save(job.folder / "model.safetensors", network.state_dict(), card)
    onnx = job.folder / "model.onnx"
    return export.save(onnx, network, card, images[:COMPARED]), card
