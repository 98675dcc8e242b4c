"""What a run begins from: a saved state, a model's weights or new ones, and whom it learns from."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from digitmlp import checkpoint, config, runfolder
from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.errors import ConfigError, DataError, ModelError
from digitmlp.job import Job
from digitmlp.model import MLP
from digitmlp.progress import say
from digitmlp.split import stratified_split
from digitmlp.train import Training


def training(job: Job, resume: bool) -> Training:
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
        if (job.folder / "metrics.json").exists():
            raise ModelError(
                f"{job.folder}: is finished, and holds no sound state to go on from; to train "
                "again, give another --out"
            )
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
                "give the preset, --hidden and --outliers of that run"
            )
        training.network.load_state_dict(network.state_dict())
    return training


def teachers(job: Job) -> MLP | None:
    """Return the runs from whose answers it learns, if any, as one network."""
    for path in job.plan.teacher:
        _refuse_learned(job, path, checkpoint.load_network(Path(path))[1])
    return checkpoint.load_committee(job.plan.teacher) if job.plan.teacher else None


def _refuse_learned(job: Job, path: str, card: Card) -> None:
    """Raise DataError where the network of this card has learned digits that are held out here, or
    those of the test part, where that has labels.
    """
    tested = job.source.read_labelled_test()
    if tested is not None and tested.digest() in (card.data, *card.also):
        raise DataError(
            f"{path}: it learned the test part of {job.source.name}, which would make this run "
            "look better than it is: give another, or DATA without that part"
        )
    labels, theirs = job.digits.labels, card.training
    assert labels is not None
    learned, remedy = np.empty(0, np.int64), "give --validation 0"
    if job.plan.data_sha256 in card.also:
        learned = job.validation_rows
    elif card.data == job.plan.data_sha256:
        learned, _ = stratified_split(labels, theirs.validation, theirs.of_the_split)
        if theirs.validation:
            split = f"--validation {theirs.validation} --split-seed {theirs.of_the_split}"
            remedy = f"hold out the same ones, {split}, or none, --validation 0"
    if shared := np.isin(job.validation_rows, learned).sum():
        raise DataError(
            f"{path}: it learned {shared:,} of the {len(job.validation_rows):,} digits held out "
            f"here, which would make this run look better than it is: {remedy}"
        )
