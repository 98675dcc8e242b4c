"""The training loop: steps inside epochs, every preset alike."""

import copy
import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from digitmlp.adam import AdamW
from digitmlp.augment import Augment
from digitmlp.config import Loss, ModelConfig, TrainConfig
from digitmlp.device import full_speed
from digitmlp.errors import ConfigError, DataError, DigitmlpError
from digitmlp.gradient import backpropagate
from digitmlp.hands import redraw
from digitmlp.history import Epoch
from digitmlp.local import begin_local
from digitmlp.model import MLP, committee
from digitmlp.outliers import make_outliers
from digitmlp.split import Batch
from digitmlp.teacher import Teacher

EVALUATION_ROWS = 1024  # a batch without gradients: it stays in the cache


class Stopped(Exception):  # noqa: N818 - a request that was followed, not an error
    """The caller asked `fit` to stop; the training stands between two steps."""


@dataclass(slots=True)
class Training:
    """A training between two steps: all that it needs to go on as if it had never stopped."""

    network: MLP
    optimizer: AdamW
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)
    step: int = 0  # steps taken in the current epoch
    seconds: float = 0.0  # spent on them
    totals: Tensor = field(default_factory=lambda: torch.zeros(2))  # their loss, their hits


def start(model: ModelConfig, config: TrainConfig, device: torch.device) -> Training:
    """Return a training before its first step."""
    if model.nothing != (config.outliers > 0):
        raise ConfigError(
            f"outliers {config.outliers} with nothing {model.nothing}: an output for what is no "
            "digit needs such images to learn from, and they need that output"
        )
    network = MLP(model, generator(config.seed, "weights"))
    if config.local:  # on the CPU still, so that every device begins alike
        (first, _), *_ = network.layers()
        begin_local(first, config.local, generator(config.seed, "places"))
    network = network.to(device)
    optimizer = AdamW(network.named_parameters(), (config.beta1, config.beta2), config.weight_decay)
    return Training(network, optimizer, totals=torch.zeros(2, device=device))


def fit(
    training: Training,
    train: Batch,
    validation: Batch | None,
    config: TrainConfig,
    stop: Callable[[], object] = lambda: False,
    teacher: MLP | None = None,
    taught_rows: int | None = None,
) -> Iterator[Epoch]:
    """Train to the last epoch, yielding the record of each.

    With a teacher, its answers are learned in place of the labels: for the first `taught_rows`
    rows, else for all.

    Which epoch is the best one, `is_best` tells.
    Raises Stopped between two steps once `stop()` is true, DataError when there are too few rows
    for BatchNorm, DigitmlpError when the loss is no longer finite.
    """
    device, model = train.images.device, training.network.config
    augment = Augment(config.augment, device) if config.augment else None
    bounds = batch_bounds(len(train), config.batch_size)
    own = len(train) if taught_rows is None else taught_rows
    shown = sum(end - first + made_up(end - first, config) for first, end in bounds)  # an epoch
    total_epochs = epochs(config, len(train))
    for number in range(len(training.history) + 1, total_epochs + 1):
        order = torch.randperm(len(train), generator=generator(config.seed, "order", number))
        order = order.to(device)
        done = (number - 1) * len(bounds)
        with full_speed(config, device) as products:
            taught = Teacher(teacher, device, products) if teacher else None
            for step in range(training.step, len(bounds)):
                if stop():
                    raise Stopped
                began = time.perf_counter()
                rows = order[slice(*bounds[step])]
                random = generator(config.seed, "augment", done + step, device)
                batch = Batch(
                    train.images.index_select(0, rows), train.labels.index_select(0, rows)
                )
                by_label = rows >= own
                images, targets = lesson(batch, by_label, model, config, random, augment, taught)
                rate = learning_rate(done + step, total_epochs * len(bounds), config)
                training.totals += train_step(
                    training, images, targets, config.loss, rate, products
                )
                training.step = step + 1
                training.seconds += time.perf_counter() - began
            began = time.perf_counter()
            loss, hits = (total / shown for total in training.totals.tolist())  # waits
            training.seconds += time.perf_counter() - began
        if not math.isfinite(loss):
            raise DigitmlpError(
                f"training diverged: the loss of epoch {number} is {loss}; "
                "take a lower --learning-rate"
            )
        candidate = averaged(training, number, total_epochs, config)
        judged = evaluate(candidate, validation) if validation else (None, None)
        epoch = Epoch(number, training.seconds, rate, loss, hits, *judged)
        if is_best(epoch, training.history, config):
            training.best = {name: value.clone() for name, value in candidate.state_dict().items()}
            training.best_epoch = number
        training.history.append(epoch)
        training.step, training.seconds = 0, 0.0
        training.totals.zero_()
        yield epoch


def lesson(
    batch: Batch,
    by_label: Tensor,
    model: ModelConfig,
    config: TrainConfig,
    random: torch.Generator,
    augment: Augment | None,
    teacher: Teacher | None,
) -> tuple[Tensor, Tensor]:
    """Return what a step learns: images (n, inputs) and the outputs' probabilities (n, outputs).

    The batch and, where the network has an output for nothing, images made up for it, all changed
    alike as the settings say. A teacher answers for the rows that are not `by_label` (n,).
    """
    images, rows = batch.images, len(batch)
    targets = wanted(batch.labels, model.classes, config.label_smoothing)
    if config.augment and config.augment.redrawn:
        images, redrawn = redraw(images, batch.labels, config.augment.redrawn, random)
        by_label = by_label.index_fill(0, redrawn, True)
    if model.nothing:
        # Changed otherwise than digits, they would be told by that from digits.
        odd = make_outliers(images.float(), batch.labels, made_up(rows, config), random)
        images = torch.cat([images.float(), odd])
        targets = F.pad(targets, (0, 1, 0, len(odd)))
        targets[rows:, -1] = 1
    clean = images
    if augment:
        images, clean = augment(images, random)
    if teacher:
        # Of what other hands wrote, or a program drew, it may never have seen the like.
        answers = teacher(clean[:rows])
        taught = torch.where(by_label[:, None], targets[:rows, : model.classes], answers)
        targets[:rows, : model.classes] = taught
    return images, targets


def averaged(training: Training, epoch: int, total: int, config: TrainConfig) -> MLP:
    """Return the network to be judged, and perhaps kept, after this epoch of so many.

    It is the one trained or, among the last epochs, of which the settings tell the share, the mean
    of its weights after each of them (Izmailov et al. 2018), which errs less than the last of them.
    """
    before = epoch - 1 - (total - round(config.averaged * total))  # epochs in the mean so far
    if before < 1:
        return training.network
    mean = copy.deepcopy(training.network)
    with torch.no_grad():
        for name, value in mean.state_dict().items():  # BatchNorm's averages as well
            value.lerp_(training.best[name], before / (before + 1))
    return mean


def is_best(epoch: Epoch, history: list[Epoch], config: TrainConfig) -> bool:
    """Return whether this epoch is to be kept in place of those before.

    With one cycle, or without validation rows, always: as the rate falls to 0 the network improves
    to the end, while among the last epochs the validation loss differs by chance. Else where it is
    the lowest so far.
    """
    if epoch.validation_loss is None or config.schedule == "one-cycle":
        return True
    return all(
        before.validation_loss is None or epoch.validation_loss < before.validation_loss
        for before in history
    )


def train_step(
    training: Training,
    images: Tensor,
    targets: Tensor,
    loss: Loss,
    rate: float,
    products: torch.dtype,
) -> Tensor:
    """Take one step; return (2,): summed loss and hits of the batch, still on the device."""
    training.network.train()
    totals = backpropagate(training.network, images, targets, loss, products)
    training.optimizer.step(rate)
    return totals


def made_up(rows: int, config: TrainConfig) -> int:
    """Return how many images that are no digits join so many that are: some, if any at all."""
    return max(1, round(config.outliers * rows)) if config.outliers else 0


def wanted(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Return (B, classes): 1 for the label, with smoothing some of it spread over all classes."""
    spread = torch.full((len(labels), classes), smoothing / classes, device=labels.device)
    return spread.scatter_(1, labels[:, None], 1 - smoothing + smoothing / classes)


@torch.no_grad()
def predict_logits(network: MLP, images: Tensor) -> Tensor:
    """Return logits (members, n, classes) of images (n, inputs), in evaluation mode."""
    network.eval()
    return torch.cat([network(part) for part in torch.split(images, EVALUATION_ROWS)], 1)


def evaluate(network: MLP, batch: Batch) -> tuple[float, float]:
    """Return the committee's mean cross-entropy (nats) and its accuracy (0 to 1)."""
    logs = committee(predict_logits(network, batch.images), network.config.classes)
    loss = F.nll_loss(logs, batch.labels)
    hits = (logs.argmax(-1) == batch.labels).float().mean()
    return loss.item(), hits.item()


def epochs(config: TrainConfig, rows: int) -> int:
    """Return the number of epochs over this many rows: as set, or enough for `min_steps`."""
    return max(config.epochs, -(-config.min_steps // len(batch_bounds(rows, config.batch_size))))


def seconds_per_epoch(
    model: ModelConfig, config: TrainConfig, train: Batch, teacher: MLP | None
) -> float:
    """Return about how long an epoch's steps take here, from a few steps of another training."""
    trial = start(model, config, train.images.device)
    few = Batch(train.images[: 6 * config.batch_size], train.labels[: 6 * config.batch_size])
    brief = replace(config, epochs=2, min_steps=0)
    _, epoch = fit(trial, few, None, brief, teacher=teacher)  # the first one warms up
    return epoch.seconds * len(train) / len(few)


def batch_bounds(rows: int, size: int) -> list[tuple[int, int]]:
    """Return (first, end) of each batch: as few as hold at most `size` rows each, equal but for one
    row. A small last one would disturb BatchNorm, which needs two rows: so many has any batch.
    Raises DataError for fewer than two rows.
    """
    if rows < 2:
        raise DataError(f"{rows} row(s) to train on (1 sample is too few); give at least 2")
    count = min(-(-rows // size), rows // 2)
    return list(itertools.pairwise(rows * number // count for number in range(count + 1)))


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Return the rate of a step, counted from 0: constant, or one cycle.

    One cycle rises linearly for the first `warmup` of all steps, then falls linearly to 0.
    """
    if config.schedule == "constant":
        return config.learning_rate
    done = (step + 0.5) / steps
    return config.learning_rate * min(done / config.warmup, (1 - done) / (1 - config.warmup))


def generator(
    seed: int, purpose: str, number: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a random generator that depends on these alone; so nothing of it has to be saved."""
    digest = hashlib.sha256(f"{seed} {purpose} {number}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:6], "little"))
