"""What a trained network still lacks: a temperature, and the score below which is no digit."""

from dataclasses import replace

import numpy as np

from digitmlp import metrics
from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.model import MLP, committee, score
from digitmlp.split import Batch

REFUSED = 1 / 400  # share of the validation digits that scores below the threshold
LEARNED = 5000  # rows trained on that give the threshold where none are held out


def calibrate(card: Card, network: MLP, train: Batch, validation: Batch) -> Card:
    """Return the card with temperature, threshold and accuracy by the validation rows.

    Without any, temperature and accuracy stay and the threshold comes from rows trained on.
    """
    classes = card.model.classes
    images = validation.images if len(validation) else train.images[:LEARNED]
    logits = loop.predict_logits(network, images)
    scores = score(logits, classes).cpu().numpy()
    card = replace(card, threshold=float(np.quantile(scores, REFUSED)))
    if not len(validation):
        return card
    logs, labels = committee(logits, classes).cpu().numpy(), validation.labels.cpu().numpy()
    accuracy = round(float((logs.argmax(-1) == labels).mean()), 6)
    return replace(
        card,
        temperature=metrics.fit_temperature(logs, labels),
        held_out={"count": len(labels), "accuracy": accuracy},
    )
