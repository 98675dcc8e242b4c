"""Settings: impossible ones are refused in a sentence, all survive a round trip through JSON."""

import dataclasses
import json

import pytest

from digitmlp import config
from digitmlp.config import AugmentConfig, ModelConfig, TrainConfig
from digitmlp.errors import ConfigError
from digitmlp.presets import PRESETS, preset


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        (ModelConfig, {"inputs": 0}, "inputs must be at least 1, got 0"),
        (ModelConfig, {"classes": 1}, "classes must be at least 2, got 1"),
        (ModelConfig, {"hidden": (16, 0)}, "hidden must be at least 1, got 0"),
        (ModelConfig, {"hidden": (16.5,)}, "hidden must be a whole number, got 16.5"),
        (ModelConfig, {"members": "2"}, "members must be a whole number, got '2'"),
        (ModelConfig, {"norm": "all"}, "norm must be one of none, last, every, got 'all'"),
        (AugmentConfig, {"shift": -1}, "shift must be at least 0, got -1"),
        (AugmentConfig, {"elastic_grid": 1}, "elastic_grid must be at least 2, got 1"),
        (TrainConfig, {"epochs": 0}, "epochs must be at least 1, got 0"),
        (TrainConfig, {"batch_size": 2.5}, "batch_size must be a whole number, got 2.5"),
        (TrainConfig, {"learning_rate": -1}, "learning_rate must be above 0, got -1"),
        (
            TrainConfig,
            {"learning_rate": float("nan")},
            "learning_rate must be above 0, got nan",
        ),
        (TrainConfig, {"validation": 1}, "validation must be at least 0 and below 1, got 1"),
        (
            TrainConfig,
            {"loss": "hinge"},
            "loss must be one of cross-entropy, squared-hinge, got 'hinge'",
        ),
        (TrainConfig, {"label_smoothing": 1}, "label_smoothing must be in [0, 1), got 1"),
        (
            TrainConfig,
            {"averaged": 1.5, "schedule": "one-cycle"},
            "averaged must be in [0, 1], got 1.5",
        ),
        (
            TrainConfig,
            {"averaged": 0.3},
            "averaged 0.3 with schedule 'constant': weights are averaged as the rate falls; "
            "expected 'one-cycle'",
        ),
        (TrainConfig, {"local": 0.2}, "local must be 0 or at least 0.5 pixels, got 0.2"),
        (TrainConfig, {"local": float("inf")}, "local must be 0 or at least 0.5 pixels, got inf"),
        (TrainConfig, {"local": float("nan")}, "local must be 0 or at least 0.5 pixels, got nan"),
        (TrainConfig, {"outliers": -0.1}, "outliers must be in [0, 1], got -0.1"),
        (TrainConfig, {"outliers": float("inf")}, "outliers must be in [0, 1], got inf"),
        (TrainConfig, {"outliers": float("nan")}, "outliers must be in [0, 1], got nan"),
        (TrainConfig, {"seed": 2**32}, "seed must be below 2**32, got 4294967296"),
        (
            TrainConfig,
            {"schedule": "cosine"},
            "schedule must be one of constant, one-cycle, got 'cosine'",
        ),
        (TrainConfig, {"precision": "f16"}, "precision must be one of auto, float32, got 'f16'"),
    ],
)
def test_impossible_value_is_refused(kind, values, sentence):
    with pytest.raises(ConfigError) as refused:
        kind(**values)
    assert str(refused.value) == sentence
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    for value in (preset(name).model, preset(name).training):
        text = json.dumps(dataclasses.asdict(value))
        assert config.from_dict(type(value), json.loads(text)) == value


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"epoch": 3}, "got an unexpected keyword argument 'epoch'"),
        ({"augment": {"twist": 1}}, "got an unexpected keyword argument 'twist'"),
        ({"validation": "half"}, "not supported between instances of"),
        ([], "has no attribute 'items'"),
    ],
)
def test_settings_that_are_none_are_refused(values, sentence):
    with pytest.raises(ConfigError) as refused:
        config.from_dict(TrainConfig, values)
    assert str(refused.value).startswith("settings cannot be read: ")
    assert sentence in str(refused.value)


def test_presets_hold_out_and_begin_as_measured():
    found = {name: preset.training for name, preset in PRESETS.items()}
    assert {name: training.validation for name, training in found.items()} == {
        "tutorial": 0.2, "fast": 0.2, "best": 0.05, "compact": 0.05,
    }  # fmt: skip
    assert {name for name, training in found.items() if training.local} == {"fast", "best"}


def test_unknown_preset_is_refused_with_the_choices():
    with pytest.raises(ConfigError) as refused:
        preset("slow")
    assert str(refused.value) == "preset must be one of tutorial, fast, best, compact, got 'slow'"


def test_none_keeps_what_a_config_has():
    before = TrainConfig(epochs=7)
    assert config.override(before, epochs=None, seed=1) == TrainConfig(epochs=7, seed=1)


def test_differences_name_setting_before_and_now():
    assert config.differences(ModelConfig(), ModelConfig()) == []
    assert config.differences(ModelConfig(members=1), ModelConfig(members=3, hidden=(8,))) == [
        "hidden (512, 256) → (8,)",
        "members 1 → 3",
    ]


@pytest.mark.parametrize(("text", "widths"), [("512,256", (512, 256)), ("8", (8,))])
def test_widths_are_written_with_commas(text, widths):
    assert config.parse_hidden(text) == widths


@pytest.mark.parametrize("text", ["", "512,", "a", "1.5", "512 256"])
def test_other_widths_are_refused(text):
    with pytest.raises(ConfigError) as refused:
        config.parse_hidden(text)
    assert str(refused.value) == f"hidden must be widths such as 512,256, got {text!r}"


def test_network_is_described_by_its_widths():
    assert ModelConfig().describe() == "784-512-256-10"
    assert ModelConfig(hidden=(), members=3).describe() == "784-10, 3 members"


def test_every_setting_has_help():
    for kind in (ModelConfig, AugmentConfig, TrainConfig):
        for field in dataclasses.fields(kind):
            assert field.metadata["help"]
