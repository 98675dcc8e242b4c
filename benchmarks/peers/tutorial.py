"""The loop of Pratik Kumar's tutorial of 2021: DataLoader, LogSoftmax, Adam; all of it his way.

His module with the training functions is not public; this is the loop that its calls describe.
"""

import time

import numpy as np
import torch
from protocol import Report, Settings, Split, features, one_cycle, serve
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(784, 512),
        nn.LeakyReLU(0.01),
        nn.Linear(512, 256),
        nn.BatchNorm1d(256),
        nn.LeakyReLU(0.01),
        nn.Linear(256, 10),
        nn.LogSoftmax(dim=1),
    )


def loader(images: np.ndarray, labels: np.ndarray, batch_size: int = 64) -> DataLoader:
    dataset = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))
    return DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=2)


def train_epoch(
    model: nn.Module,
    batches: DataLoader,
    optimizer: torch.optim.Optimizer,
    criterion: nn.Module,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> float:
    """Return the seconds that an epoch of training takes."""
    began = time.perf_counter()
    model.train()
    total_loss = total_hits = 0.0
    for images, labels in batches:
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        if schedule:
            schedule.step()
        total_loss += loss.item() * len(labels)
        total_hits += (outputs.argmax(1) == labels).sum().item()
    return time.perf_counter() - began


@torch.no_grad()
def validate(model: nn.Module, batches: DataLoader, criterion: nn.Module) -> tuple[float, float]:
    """Return mean loss and accuracy."""
    model.eval()
    total_loss = total_hits = total = 0.0
    for images, labels in batches:
        outputs = model(images)
        total_loss += criterion(outputs, labels).item() * len(labels)
        total_hits += (outputs.argmax(1) == labels).sum().item()
        total += len(labels)
    return total_loss / total, total_hits / total


@torch.no_grad()
def accuracy(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    model.eval()
    return (model(torch.from_numpy(images)).argmax(1).numpy() == labels).mean()


def adam(
    parameters: list[Tensor], settings: Settings, rows: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler | None]:
    """Return the optimizer and, for one cycle, the schedule of its steps."""
    betas = settings.get("betas", (0.9, 0.999))
    optimizer = torch.optim.Adam(parameters, settings["learning_rate"], betas)
    if "warmup" not in settings:
        return optimizer, None
    steps = settings["epochs"] * -(-rows // settings["batch_size"])
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: one_cycle(step, steps, settings["warmup"])
    )


DOCUMENTED = {"batch_size": 64, "learning_rate": 1e-5, "epochs": 20}


def train(split: Split, settings: Settings, report: Report) -> None:
    settings = DOCUMENTED | settings
    torch.manual_seed(settings["seed"])
    images, labels, held_out, answers = features(split)
    model = network()
    batches = loader(images, labels, settings["batch_size"])
    optimizer, schedule = adam(list(model.parameters()), settings, len(labels))
    criterion = nn.CrossEntropyLoss()
    for _ in range(settings["epochs"]):
        seconds = train_epoch(model, batches, optimizer, criterion, schedule)
        report(seconds, accuracy(model, held_out, answers))


if __name__ == "__main__":
    serve(train)
