"""Lightning's Trainer around the tutorial's network."""

import logging
import time
import warnings
from typing import Any

import lightning
import torch
import torch.nn.functional as F
import tutorial
from protocol import Report, Settings, Split, features, serve
from torch.utils.data import DataLoader, TensorDataset

# The walk-through with MNIST in its documentation: Adam at 1e-3, batches of 64.
DOCUMENTED = {"batch_size": 64, "learning_rate": 1e-3, "epochs": 20}

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")


class Digits(lightning.LightningModule):
    def __init__(self, settings: Settings, rows: int) -> None:
        super().__init__()
        self.network = tutorial.network()[:-1]
        self.settings, self.rows = settings, rows

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> Any:
        optimizer, schedule = tutorial.adam(list(self.parameters()), self.settings, self.rows)
        if schedule is None:
            return optimizer
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class Epochs(lightning.Callback):
    """Times each epoch and reports it."""

    def __init__(self, held_out: Any, answers: Any, report: Report) -> None:
        self.held_out, self.answers, self.report = held_out, answers, report

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        seconds = time.perf_counter() - self.began
        self.report(seconds, tutorial.accuracy(module.network, self.held_out, self.answers))
        module.train()


def train(split: Split, settings: Settings, report: Report) -> None:
    settings = DOCUMENTED | settings
    images, labels, held_out, answers = features(split)
    torch.manual_seed(settings["seed"])
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    # No workers: on two cores they cost more than they bring.
    batches = DataLoader(dataset, batch_size=settings["batch_size"], shuffle=True)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=settings["epochs"],
        callbacks=[Epochs(held_out, answers, report)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(settings, len(labels)), batches)


if __name__ == "__main__":
    serve(train)
