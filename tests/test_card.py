"""The card: the facts in a model file come back as they were, in equal text."""

import json
from dataclasses import replace

import pytest

from digitmlp import files
from digitmlp.card import FORMAT, Card
from digitmlp.config import AugmentConfig, ModelConfig, TrainConfig
from digitmlp.errors import ModelError

CARD = Card(
    model=ModelConfig(hidden=(8, 4), members=2),
    training=TrainConfig(augment=AugmentConfig(rotation=3)),
    data="ab" * 32,
    temperature=1.25,
    threshold=-0.5,
    threshold_of_views=0.5,
    extra={"step": 3},
)


def test_card_is_read_back():
    assert Card.from_text(CARD.to_text(), "here") == CARD


def test_text_is_one_line_with_room_for_one_seal():
    text = CARD.to_text()
    assert text.count(files.UNSEALED) == 1
    assert "\n" not in text
    assert text == Card.from_text(text, "here").to_text()


def test_card_without_what_came_later_is_read():
    facts = json.loads(CARD.to_text())
    del facts["extra"], facts["training"]["label_smoothing"]
    card = Card.from_text(json.dumps(facts), "here")
    assert (card.extra, card.training.label_smoothing) == ({}, 0.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"format": FORMAT + 1},
            f"here: written in format {FORMAT + 1}, this version of digitmlp reads up to {FORMAT}; "
            "install a newer one",
        ),
        (
            {"format": "new"},
            "here: its metadata is not digitmlp's: "
            "'>' not supported between instances of 'str' and 'int'",
        ),
        (
            {"colour": "red"},
            "here: its metadata is not digitmlp's: "
            "Card.__init__() got an unexpected keyword argument 'colour'",
        ),
        (
            {"model": {"hidden": [0]}},
            "here: its metadata is not digitmlp's: hidden must be at least 1, got 0",
        ),
    ],
)
def test_other_facts_are_refused(change, sentence):
    with pytest.raises(ModelError) as refused:
        Card.from_text(json.dumps(json.loads(CARD.to_text()) | change), "here")
    assert str(refused.value) == sentence


@pytest.mark.parametrize("text", [None, "", "{", "[]", "1", '{"format": 1}'])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(ModelError, match=r"^here: its metadata is not digitmlp's: "):
        Card.from_text(text, "here")


@pytest.mark.parametrize(
    ("older", "unknown"),
    [
        (1, ["threshold_of_views", "also", "averaged", "local", "loss"]),
        (2, ["threshold_of_views", "averaged", "local", "loss"]),
        (3, ["threshold_of_views", "local", "loss"]),
        (4, ["threshold_of_views", "loss"]),
        (5, ["threshold_of_views"]),
    ],
)
def test_card_of_an_older_format_which_knows_less_is_read(older, unknown):
    training = TrainConfig(schedule="one-cycle", averaged=0.5, local=3, loss="squared-hinge")
    known = {"threshold": 1.5, "threshold_of_views": 3.5, "also": ("a", "b")}
    card = Card(model=ModelConfig(), training=training, data="d", **known)
    facts = json.loads(card.to_text()) | {"format": older}
    for name in unknown:
        (facts if name in facts else facts["training"]).pop(name)
    read = Card.from_text(json.dumps(facts), "here")
    assert read.also == (() if "also" in unknown else ("a", "b"))
    assert read.training.averaged == (0 if "averaged" in unknown else 0.5)
    assert read.training.local == (0 if "local" in unknown else 3)
    assert read.training.loss == ("cross-entropy" if "loss" in unknown else "squared-hinge")
    assert read.threshold_of_views is None
    assert replace(read, training=training, **known) == card
