"""skorch's NeuralNetClassifier around the tutorial's network."""

import time
from typing import Any

import torch
import tutorial
from protocol import Report, Settings, Split, features, one_cycle, serve
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LRScheduler
from torch import nn

# The notebook on MNIST in its documentation: SGD, the default, at 0.1; batches of the default size.
DOCUMENTED = {"batch_size": 128, "learning_rate": 0.1, "epochs": 20, "optimizer": "SGD"}


class Epochs(Callback):
    """Times each epoch and reports it."""

    def __init__(self, held_out: Any, answers: Any, report: Report) -> None:
        self.held_out, self.answers, self.report = held_out, answers, report

    def on_epoch_begin(self, net: NeuralNetClassifier, **_: Any) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, net: NeuralNetClassifier, **_: Any) -> None:
        seconds = time.perf_counter() - self.began
        self.report(seconds, tutorial.accuracy(net.module_, self.held_out, self.answers))


def train(split: Split, settings: Settings, report: Report) -> None:
    settings = DOCUMENTED | settings
    images, labels, held_out, answers = features(split)
    torch.manual_seed(settings["seed"])
    callbacks: list[Any] = [("epochs", Epochs(held_out, answers, report))]
    if "warmup" in settings:
        steps = settings["epochs"] * -(-len(labels) // settings["batch_size"])
        callbacks.append(
            LRScheduler(
                torch.optim.lr_scheduler.LambdaLR,
                lr_lambda=lambda step: one_cycle(step, steps, settings["warmup"]),
                step_every="batch",
            )
        )
    net = NeuralNetClassifier(
        tutorial.network()[:-1],  # cross-entropy takes logits
        criterion=nn.CrossEntropyLoss,
        optimizer=getattr(torch.optim, settings["optimizer"]),
        lr=settings["learning_rate"],
        **({"optimizer__betas": settings["betas"]} if "betas" in settings else {}),
        batch_size=settings["batch_size"],
        max_epochs=settings["epochs"],
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=callbacks,
        verbose=0,
    )
    net.fit(images, labels)


if __name__ == "__main__":
    serve(train)
