"""What a run is to do: its settings, and its data, read and split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from digitmlp import config, presets, runfolder, sources
from digitmlp.card import Card
from digitmlp.digits import Digits, Images, Source, concatenate
from digitmlp.errors import ConfigError, DataError
from digitmlp.progress import Clock
from digitmlp.runfolder import Plan
from digitmlp.split import Batch, Rows, stratified_split, tensors


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


def recorded(data: str | None, out: Path | None) -> Plan | None:
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


def settle(
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
    if training.get("outliers") is not None:  # they and the output that they are for come together
        model = {**model, "nothing": training["outliers"] > 0}
    return replace(
        plan,
        model=config.override(plan.model, **model),
        training=config.override(plan.training, **training),
    )


def read(folder: Path, plan: Plan, device: torch.device, clock: Clock) -> Job:
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
    if also and (tested := source.read_labelled_test()) is not None:
        measured.append((tested.images, "in the test part of {}", ""))
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
