"""Presets: named settings that were measured together."""

from dataclasses import dataclass

from digitmlp.config import AugmentConfig, ModelConfig, TrainConfig
from digitmlp.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A named pair of settings, with the sentence that describes it."""

    summary: str
    model: ModelConfig
    training: TrainConfig


PRESETS = {
    # Pratik Kumar, "Digit Recognition using MLP in PyTorch", 2021: his settings, one by one.
    "tutorial": Preset(
        summary="the tutorial of 2021 as it stands: 20 epochs of Adam at 1e-5",
        model=ModelConfig(hidden=(512, 256), norm="last", negative_slope=0.01),
        training=TrainConfig(epochs=20, batch_size=64, learning_rate=1e-5, precision="float32"),
    ),
    "fast": Preset(
        summary="the best accuracy within seconds on two cores",
        model=ModelConfig(hidden=(1024, 512)),
        training=TrainConfig(
            epochs=12,
            min_steps=600,
            batch_size=512,
            learning_rate=6e-3,
            schedule="one-cycle",
            beta2=0.99,
            weight_decay=0.02,
            local=3,
            augment=AugmentConfig(
                rotation=8, scale=0.1, shear=0.1, shift=1, elastic=0.7, elastic_grid=5
            ),
        ),
    ),
    "best": Preset(
        summary="the highest accuracy, in half an hour on two cores",
        model=ModelConfig(hidden=(1024, 1024, 1024)),
        training=TrainConfig(
            epochs=350,
            min_steps=600,
            batch_size=1024,
            learning_rate=3e-3,
            schedule="one-cycle",
            averaged=0.5,
            loss="squared-hinge",
            beta2=0.99,
            weight_decay=0.05,
            local=3,
            validation=0.05,
            augment=AugmentConfig(
                rotation=11, scale=0.14, shear=0.14, shift=0.7, elastic=1.3, elastic_grid=5
            ),
        ),
    ),
    # The weights that come with the package: small, hard to mislead, and able to say no.
    "compact": Preset(
        summary="the weights shipped with digitmlp: small, robust, refuses what is no digit",
        model=ModelConfig(hidden=(2048, 1024, 1024), nothing=True),
        training=TrainConfig(
            epochs=450,
            min_steps=600,
            batch_size=1024,
            learning_rate=3e-3,
            schedule="one-cycle",
            averaged=0.5,
            beta2=0.99,
            weight_decay=0.05,
            validation=0.05,
            outliers=0.2,
            augment=AugmentConfig(
                rotation=9,
                scale=0.12,
                shear=0.12,
                shift=0.7,
                elastic=1.0,
                elastic_grid=5,
                far=0.25,
                thickness=0.4,
                sharpness=6,
                redrawn=0.2,
                spoiled=0.5,
                light=0.6,
                noise=0.2,
                blur=1.0,
                erase=0.5,
            ),
        ),
    ),
}


def preset(name: str) -> Preset:
    """Return the preset; raises ConfigError naming the choices."""
    if name not in PRESETS:
        raise ConfigError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]
