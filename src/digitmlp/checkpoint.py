"""Weights and training states in safetensors files: arrays and JSON, nothing that could run."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from digitmlp import files
from digitmlp.card import KEY, Card
from digitmlp.config import ModelConfig, TrainConfig, differences
from digitmlp.errors import ModelError
from digitmlp.history import Epoch
from digitmlp.model import MLP
from digitmlp.train import Training, start

STATES_KEPT = 2  # the newest, and the one before should the newest be damaged


def save(path: Path, tensors: dict[str, Tensor], card: Card) -> None:
    """Write tensors and card to one sealed file, whole or not at all; equal in, equal out."""
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    files.write(path, files.seal(safetensors.torch.save(contiguous, {KEY: card.to_text()})))


def load(path: Path) -> tuple[dict[str, Tensor], Card]:
    """Return what `save` wrote; raises ModelError on anything else."""
    content, _ = files.read_sealed(path)
    try:
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        text = header["__metadata__"][KEY]
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: not a safetensors file of digitmlp: {error}") from error
    return tensors, Card.from_text(text, path)


def weights_of(run: Path) -> Path:
    """Return the file that holds the weights of a run folder; a file is what it is."""
    return run / "model.safetensors" if run.is_dir() else run


def load_network(path: Path) -> tuple[MLP, Card]:
    """Return the network of a run folder or a model.safetensors, and its card.

    Raises ModelError.
    """
    path = weights_of(path)
    if path.suffix == ".onnx" or not path.exists():
        what = "is for predicting alone" if path.exists() else "no such file"
        raise ModelError(f"{path}: {what}; expected a finished run's folder or model.safetensors")
    tensors, card = load(path)
    network = empty(card.model)
    check(network.state_dict(), tensors, path)
    network.load_state_dict(tensors)
    return network, card


def load_committee(paths: Sequence[str | Path]) -> MLP:
    """Return the networks of several runs, of one form, as one committee; raises ModelError."""
    known: set[Path] = set()
    for path in paths:
        place = weights_of(Path(path).resolve())
        if place in known:
            raise ModelError(f"{path}: is named twice; a committee needs different runs")
        known.add(place)
    networks = [load_network(Path(path))[0] for path in paths]
    forms = [replace(network.config, members=1) for network in networks]
    for path, form in zip(paths, forms, strict=True):
        if form != forms[0]:
            raise ModelError(
                f"{path}: not of the form of {paths[0]}: "
                f"{'; '.join(differences(forms[0], form))}; a committee's members are alike"
            )
    members = sum(network.config.members for network in networks)
    joint = empty(replace(forms[0], members=members))
    tensors = [network.state_dict() for network in networks]
    joint.load_state_dict(
        {name: torch.cat([each[name] for each in tensors]) for name in tensors[0]}
    )
    return joint


def empty(model: ModelConfig) -> MLP:
    """Return a network of this form, its weights not yet the right ones."""
    return MLP(model, torch.Generator())


def check(wanted: dict[str, Tensor], found: dict[str, Tensor], path: Path) -> None:
    """Raise ModelError unless both have the same names, shapes and dtypes, and all is finite."""
    if wanted.keys() != found.keys():
        missing = ", ".join(sorted(wanted.keys() - found.keys())) or "none"
        foreign = ", ".join(sorted(found.keys() - wanted.keys())) or "none"
        raise ModelError(
            f"{path}: its weights do not fit its settings; missing: {missing}; unknown: {foreign}"
        )
    for name, value in found.items():
        want = wanted[name]
        if (value.shape, value.dtype) != (want.shape, want.dtype):
            raise ModelError(
                f"{path}: weight {name} is {value.dtype} {tuple(value.shape)}, "
                f"its settings ask for {want.dtype} {tuple(want.shape)}"
            )
        if not value.isfinite().all():
            raise ModelError(f"{path}: weight {name} holds NaN or infinity; train again")


def save_state(folder: Path, training: Training, card: Card) -> Path:
    """Write the state of a training into the folder; keep the one before it, delete all others.

    Those of later steps too: the training has not come from them, so they were damaged.
    """
    card = Card(
        model=card.model,
        training=card.training,
        data=card.data,
        extra={
            "best_epoch": training.best_epoch,
            "history": [
                [getattr(epoch, name) for name in Epoch.__slots__] for epoch in training.history
            ],
            "step": training.step,
            "seconds": training.seconds,
        },
    )
    path = folder / f"epoch-{len(training.history):05}-step-{training.step:07}.safetensors"
    save(path, _state_tensors(training), card)
    found = states(folder)
    kept = found[found.index(path) :][:STATES_KEPT]
    for other in set(found) - set(kept):
        other.unlink(missing_ok=True)
    return path


def states(folder: Path) -> list[Path]:
    """Return the training states in the folder, the newest first."""
    return sorted(folder.glob("epoch-*.safetensors"), reverse=True)


def load_state(path: Path, config: TrainConfig, device: torch.device) -> tuple[Training, Card]:
    """Return the training that `save_state` wrote, on the device, to go on with these settings;
    raises ModelError.
    """
    tensors, card = load(path)
    training = start(card.model, config, device)
    if any(name.startswith("best.") for name in tensors):
        weights = training.network.state_dict().items()
        training.best = {name: torch.empty_like(value) for name, value in weights}
    wanted = _state_tensors(training)
    check(wanted, tensors, path)
    with torch.no_grad():
        for name, value in tensors.items():
            wanted[name].copy_(value)
    try:
        training.best_epoch = card.extra["best_epoch"]
        training.history = [Epoch(*values) for values in card.extra["history"]]
        training.step = card.extra["step"]
        training.seconds = card.extra["seconds"]
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a training state: {error}") from error
    return training, card


def _state_tensors(training: Training) -> dict[str, Tensor]:
    """Return the tensors of a training by name; the very ones, not copies."""
    tensors = {f"network.{name}": value for name, value in training.network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in training.best.items()}
    tensors["totals"] = training.totals
    for name, value in training.optimizer.tensors().items():
        tensors[f"optimizer.{name}"] = value
    return tensors
