"""Settings: the only home of defaults."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from digitmlp.errors import ConfigError

Norm = Literal["none", "last", "every"]
Schedule = Literal["constant", "one-cycle"]
Loss = Literal["cross-entropy", "squared-hinge"]
Precision = Literal["auto", "float32"]
Device = Literal["auto", "cpu", "cuda", "mps"]

Config = TypeVar("Config", "ModelConfig", "TrainConfig")


def setting(default: Any, help: str) -> Any:
    """Return a dataclass field that keeps its help text beside its default."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """What rebuilds the network, and nothing else."""

    inputs: int = setting(784, "numbers in an image")
    classes: int = setting(10, "classes told apart")
    nothing: bool = setting(False, "an output more, for what is none of the classes")
    hidden: tuple[int, ...] = setting((512, 256), "widths of the hidden layers")
    norm: Norm = setting("every", "hidden layers followed by BatchNorm")
    negative_slope: float = setting(0.0, "LeakyReLU's slope below zero; 0 is ReLU")
    members: int = setting(1, "networks in the committee; their probabilities are averaged")
    scale: float = setting(1 / 255, "factor from input to features: 1/255 for pixels")

    def __post_init__(self) -> None:
        _whole(1, inputs=self.inputs, members=self.members)
        _whole(2, classes=self.classes)
        for width in self.hidden:
            _whole(1, hidden=width)
        _one_of(Norm, norm=self.norm)

    @property
    def outputs(self) -> int:
        """The logits of a member: one a class, and the last one for what is none."""
        return self.classes + self.nothing

    @property
    def widths(self) -> tuple[int, ...]:
        """The numbers that pass between the layers of a member: inputs, hidden layers, outputs."""
        return self.inputs, *self.hidden, self.outputs

    def describe(self) -> str:
        """Return the form of the network in a few words, such as `784-512-256-10`."""
        return "-".join(map(str, self.widths)) + (
            f", {self.members} members" if self.members > 1 else ""
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """How training images are changed; each number is the largest, drawn anew for every image.

    Rotation to elastic deform what is drawn; thickness to erase spoil how it is shown, and a
    teacher is shown the image before that.
    """

    rotation: float = setting(0.0, "degrees, either way")
    scale: float = setting(0.0, "share by which width and height grow or shrink, independently")
    shear: float = setting(0.0, "horizontal shear, as a share of the height")
    shift: float = setting(0.0, "pixels, in both directions")
    elastic: float = setting(0.0, "standard deviation of the elastic displacement, pixels")
    elastic_grid: int = setting(7, "points a side of the coarse grid of random displacements")
    far: float = setting(
        0.0, "share of images turned, scaled, sheared, shifted several times as much"
    )
    thickness: float = setting(0.0, "pixels by which strokes grow or shrink at each edge, to 1")
    sharpness: float = setting(1.0, "steepness of edges, by which half of the images are sharper")
    redrawn: float = setting(
        0.0, "share of zeros, ones, fours, fives, sevens drawn anew, as other hands write them"
    )
    spoiled: float = setting(0.5, "share of images to which what follows is done")
    light: float = setting(
        0.0, "share of the way to full ink by which the ground is raised, less to one side"
    )
    noise: float = setting(0.0, "standard deviation of noise, as a share of full ink")
    blur: float = setting(0.0, "share of a 3×3 mean, and of a mean along a line of 7 pixels")
    erase: float = setting(
        0.0, "longest side of two rectangles painted over, as a share of the image's"
    )

    def __post_init__(self) -> None:
        for name in self.__slots__:
            _at_least(0, **{name: getattr(self, name)})
        _whole(2, elastic_grid=self.elastic_grid)
        for name in ("far", "thickness", "redrawn", "spoiled", "light", "blur", "erase"):
            if getattr(self, name) > 1:
                raise ConfigError(f"{name} must be at most 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How the network is trained; the same values on the same machine give the same weights."""

    epochs: int = setting(20, "passes over the training images")
    min_steps: int = setting(0, "on small data, as many more epochs as reach this many steps")
    batch_size: int = setting(64, "images a step")
    learning_rate: float = setting(1e-3, "Adam's step size; the highest, with one-cycle")
    schedule: Schedule = setting("constant", "learning rate over the steps")
    warmup: float = setting(0.2, "one-cycle: share of the steps in which the rate rises")
    averaged: float = setting(
        0.0, "one-cycle: share of the epochs, the last ones, whose weights are averaged"
    )
    local: float = setting(
        0.0,
        "standard deviation, pixels, of the bell around a place of its own by which the weights of "
        "a unit of the first layer begin, unless they are given; 0: no bell",
    )
    beta1: float = setting(0.9, "Adam's decay of the mean gradient")
    beta2: float = setting(0.999, "Adam's decay of the mean squared gradient")
    weight_decay: float = setting(0.0, "decoupled (AdamW), on weight matrices only")
    loss: Loss = setting(
        "cross-entropy",
        "what training lowers; with a teacher always cross-entropy",
    )
    label_smoothing: float = setting(0.0, "probability spread evenly over all classes")
    augment: AugmentConfig | None = setting(None, "deformation of the training images")
    outliers: float = setting(
        0.0,
        "images made up that are no digits, as a share of a batch, to refuse such; 0: none",
    )
    precision: Precision = setting("auto", "auto: bfloat16 products where the device has them")
    validation: float = setting(
        0.2, "share of the rows held out for validation; best and compact: 0.05"
    )
    seed: int = setting(302, "of the split, the weights, the order of the rows and the deformation")
    split_seed: int | None = setting(
        None, "of the split alone, in place of the seed: with the same share, the same rows"
    )

    def __post_init__(self) -> None:
        _whole(1, epochs=self.epochs, batch_size=self.batch_size)
        _whole(0, min_steps=self.min_steps, seed=self.seed)
        _at_least(0, weight_decay=self.weight_decay)
        if not 0 <= self.outliers <= 1:
            raise ConfigError(f"outliers must be in [0, 1], got {self.outliers}")
        if self.local and not 0.5 <= self.local < float("inf"):  # narrower ones miss every pixel
            raise ConfigError(f"local must be 0 or at least 0.5 pixels, got {self.local}")
        if not self.learning_rate > 0 or self.learning_rate == float("inf"):
            raise ConfigError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.validation < 1:
            raise ConfigError(f"validation must be at least 0 and below 1, got {self.validation}")
        if not 0 <= self.averaged <= 1:
            raise ConfigError(f"averaged must be in [0, 1], got {self.averaged}")
        if self.averaged and self.schedule != "one-cycle":
            raise ConfigError(
                f"averaged {self.averaged} with schedule {self.schedule!r}: weights are averaged "
                "as the rate falls; expected 'one-cycle'"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")
        for name, seed in {"seed": self.seed, "split_seed": self.of_the_split}.items():
            if not 0 <= seed < 2**32:
                raise ConfigError(f"{name} must be below 2**32, got {seed}")
        _one_of(Schedule, schedule=self.schedule)
        _one_of(Loss, loss=self.loss)
        _one_of(Precision, precision=self.precision)

    @property
    def of_the_split(self) -> int:
        """The seed that decides which rows are for validation."""
        return self.seed if self.split_seed is None else self.split_seed


def override(config: Config, **values: Any) -> Config:
    """Return the config with these values; None keeps what it has."""
    given = {name: value for name, value in values.items() if value is not None}
    return dataclasses.replace(config, **given)


def parse_hidden(text: str) -> tuple[int, ...]:
    """Return layer widths written as `512,256`; raises ConfigError."""
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError as error:
        raise ConfigError(f"hidden must be widths such as 512,256, got {text!r}") from error


def differences(before: Config, now: Config) -> list[str]:
    """Return the settings in which two configs differ, each as `name before → now`."""
    pairs = zip(dataclasses.asdict(before).items(), dataclasses.asdict(now).values(), strict=True)
    return [f"{name} {old} → {new}" for (name, old), new in pairs if old != new]


def from_dict(kind: type[Config], values: dict[str, Any]) -> Config:
    """Return the config that `dataclasses.asdict` made these values of, also after a round trip
    through JSON; raises ConfigError naming what does not belong.
    """
    try:
        made: dict[str, Any] = {
            name: tuple(value)
            if isinstance(value, list)
            else AugmentConfig(**value)
            if isinstance(value, dict)
            else value
            for name, value in values.items()
        }
        return kind(**made)
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"settings cannot be read: {error}") from error


def _at_least(least: int, **values: float) -> None:
    for name, value in values.items():
        if not value >= least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")


def _whole(least: int, **values: int) -> None:
    for name, value in values.items():
        if not isinstance(value, int):
            raise ConfigError(f"{name} must be a whole number, got {value!r}")
    _at_least(least, **values)


def _one_of(choices: Any, **values: str) -> None:
    for name, value in values.items():
        if value not in get_args(choices):
            raise ConfigError(
                f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}"
            )
