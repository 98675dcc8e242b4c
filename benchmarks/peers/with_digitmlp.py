"""digitmlp itself, by the functions that its commands use."""

import os

# As `digitmlp train` sets them; they have to stand before torch loads.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
os.environ.setdefault("OMP_PROC_BIND", "true")

import torch
from protocol import Report, Settings, Split, serve

from digitmlp import config
from digitmlp import train as loop
from digitmlp.config import ModelConfig, TrainConfig
from digitmlp.split import tensors


def train(split: Split, settings: Settings, report: Report) -> None:
    """Train with `model` and `training` of the settings, on `copies` times the rows if given."""
    model = config.from_dict(ModelConfig, settings["model"])
    training = config.from_dict(TrainConfig, settings["training"] | {"seed": settings["seed"]})
    device = torch.device(settings.get("device", "cpu"))
    images, labels = split["train_images"], split["train_labels"]
    if copies := settings.get("copies"):
        images, labels = images.repeat(copies, 0), labels.repeat(copies)
    rows = tensors(images, labels, device)
    validation = tensors(split["validation_images"], split["validation_labels"], device)
    state = loop.start(model, training, device)
    for epoch in loop.fit(state, rows, validation, training):
        report(epoch.seconds, epoch.validation_accuracy)


if __name__ == "__main__":
    serve(train)
