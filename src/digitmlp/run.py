"""The main job: from DATA to a run folder with a model, its measure and its predictions."""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from digitmlp import begin, checkpoint, export, history, report, results, runfolder
from digitmlp import train as loop
from digitmlp.calibrate import calibrate
from digitmlp.card import Card
from digitmlp.device import choose_device, device_name, precision
from digitmlp.interrupt import Interrupted, deferred
from digitmlp.job import Job, read, recorded, settle
from digitmlp.model import MLP
from digitmlp.progress import Clock, EpochProgress, say
from digitmlp.recognizer import Recognizer
from digitmlp.train import Training

SAVING_SHARE = 0.05  # of the time, that saving states may take
LONG_RUN = 1e14  # multiplications; a run with more of them says beforehand how long it takes


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
    before = recorded(data, out) if resume else None
    plan = settle(before, preset, model or {}, training or {})
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
    if plan.teacher:  # how sure it is, no hinge would learn: that asks for logits of at most ±2
        plan = replace(plan, training=replace(plan.training, loss="cross-entropy"))
    chosen = choose_device(plan.device)
    if plan.threads:
        torch.set_num_threads(plan.threads)
    with (
        runfolder.claimed(out, plan.preset, resume=before is not None) as folder,
        _telling_how_to_go_on(folder),
    ):
        with clock("read"):
            job = read(folder, plan, chosen, clock)
        if before:
            runfolder.refuse_changes(before, job.plan)
        teachers = begin.teachers(job)
        state = begin.training(job, resume)
        _write_config(job)
        _introduce(job, state, teachers)
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


def _introduce(job: Job, training: Training, teacher: MLP | None) -> None:
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
        f"({device_name(job.device)}, {threads} thread{'s' * (threads > 1)}, "
        f"{precision(plan.training, job.device)})"
    )
    left = loop.epochs(plan.training, rows) - len(training.history)
    if 3 * rows * left * weights > LONG_RUN:
        seconds = left * loop.seconds_per_epoch(plan.model, plan.training, job.train_set, teacher)
        say(f"{left} epochs will take about {seconds / 60:.0f} minutes here")


def _write_config(job: Job) -> None:
    runfolder.write_config(
        job.folder,
        job.plan,
        job.validation_rows.tolist(),
        data={"name": job.source.name, "rows": len(job.digits)},
        trained_on=len(job.train_set),
        device=job.device.type,
        device_name=device_name(job.device),
        threads=torch.get_num_threads(),
        precision=precision(job.plan.training, job.device),
    )


def _fit(job: Job, training: Training, teacher: MLP | None) -> None:
    """Train to the end, saving states on the way; raises Interrupted after saving the last."""
    clock, config = job.clock, job.plan.training
    total = loop.epochs(config, len(job.train_set))
    validation = job.validation if len(job.validation) else None
    saved, cost = -np.inf, 0.0
    clock.count("train", sum(epoch.seconds for epoch in training.history) + training.seconds)
    counted = training.seconds  # of an epoch that was interrupted

    def save() -> None:
        nonlocal saved, cost
        began = time.perf_counter()
        with clock("save"):
            checkpoint.save_state(job.folder / "state", training, job.card)
            history.write(job.folder / "history.csv", training.history)
        saved = time.perf_counter()
        cost = saved - began

    with deferred() as signal, EpochProgress(total, len(training.history)) as progress:
        began = time.perf_counter() - counted
        try:
            for epoch in loop.fit(
                training, job.train_set, validation, config, signal, teacher, len(job.rows)
            ):
                clock.seconds["train"] += epoch.seconds - counted
                counted = 0.0
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
    """Write model.safetensors and model.onnx, calibrated on the validation rows."""
    card = calibrate(job.card, network, job.train_set, job.validation)
    checkpoint.save(job.folder / "model.safetensors", network.state_dict(), card)
    onnx = job.folder / "model.onnx"
    compared = (job.validation if len(job.validation) else job.train_set).images[: export.COMPARED]
    return export.save(onnx, network, card, compared), card
