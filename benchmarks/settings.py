"""What is fixed before anything is measured: settings, targets, and how often is measured."""

from dataclasses import asdict, dataclass
from typing import Any

from digitmlp.config import TrainConfig
from digitmlp.presets import preset

SEED = 302  # of the split, as in the tutorial
TUTORIAL_ACCURACY = 0.969  # of its 20 epochs on the validation rows

# Time to 97 % with the tutorial's network: the cheapest recipe that reaches it with every seed,
# chosen with seeds from 100 on, which are not those of the benchmark.
QUICK = TrainConfig(
    epochs=2,
    batch_size=512,
    learning_rate=1e-2,
    schedule="one-cycle",
    warmup=0.2,
    beta1=0.8,
    beta2=0.95,
)
# What of it the trainers compared with are given, besides the settings that they document:
# batch size and rate, for as many epochs as they need; then all of it, schedule included.
BATCH_AND_RATE = {
    "batch_size": QUICK.batch_size,
    "learning_rate": QUICK.learning_rate,
    "optimizer": "Adam",
}
RECIPE = BATCH_AND_RATE | {
    "epochs": QUICK.epochs,
    "warmup": QUICK.warmup,
    "betas": (QUICK.beta1, QUICK.beta2),
}

# Seconds on the reference machine: two cores with AVX512-BF16, PyTorch 2.13, quiet.
REFERENCE = {
    "tutorial, an epoch": 2.3,
    "tutorial, 20 epochs": 50,
    "tutorial, cold": 58,
    "skorch": 2.5,
    "Keras on JAX": 3.9,
    "Lightning": 3.9,
    "DataLoader loop": 4.2,
    "scikit-learn": 5.8,
    "bare session.run": 30e-6,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """How much is measured.

    repeats     measurements of each side, one after the other in turns, after a warm-up
    seeds       trainings of each time-to-accuracy row
    peer_seeds  of which every peer takes part; then only the fastest one
    epochs      of the tutorial's training, and at most of a peer's
    copies      of test.csv in the largest file
    rows        of train.csv and of test.csv; None: all
    """

    repeats: int = 5
    seeds: int = 10
    peer_seeds: int = 3
    epochs: int = 20
    copies: int = 100
    rows: int | None = None


TRIAL = Effort(repeats=1, seeds=2, peer_seeds=1, epochs=2, copies=3, rows=2000)


def ours(name: str, **training: Any) -> dict[str, Any]:
    """Return a preset, or `quick`, as settings for the trainer with_digitmlp."""
    if name == "quick":
        model, base = preset("tutorial").model, QUICK
    else:
        model, base = preset(name).model, preset(name).training
    return {"model": asdict(model), "training": asdict(base) | training}
