"""What a trained network still lacks: a temperature, and the scores below which is no digit."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from digitmlp import metrics
from digitmlp import train as loop
from digitmlp.card import Card
from digitmlp.digits import PIXELS, SIDE
from digitmlp.model import MLP, committee, score
from digitmlp.split import Batch
from digitmlp.views import views

REFUSED = 1 / 400  # share of the validation digits that scores below the threshold
REFUSED_BY_VIEWS = 1 / 250  # the same of the best score among a digit and its views
VIEWED = 1 / 25  # share of them, of the lowest scores, whose views are looked at: those that count
LEARNED = 5000  # rows trained on that give the thresholds where none are held out

Scores = NDArray[np.float32]


def calibrate(card: Card, network: MLP, train: Batch, validation: Batch) -> Card:
    """Return the card with temperature, thresholds and accuracy by the validation rows.

    Without any, temperature and accuracy stay and the thresholds come from rows trained on.
    """
    classes = card.model.classes
    images = validation.images if len(validation) else train.images[:LEARNED]
    logits = loop.predict_logits(network, images)
    scores = score(logits, classes).cpu().numpy()
    card = replace(card, threshold=float(np.quantile(scores, REFUSED)), threshold_of_views=None)
    if card.model.nothing:  # networks without that output refuse more digits by their views
        best = best_of_views(network, images, scores)
        card = replace(card, threshold_of_views=float(np.quantile(best, REFUSED_BY_VIEWS)))
    if not len(validation):
        return card
    logs, labels = committee(logits, classes).cpu().numpy(), validation.labels.cpu().numpy()
    accuracy = round(float((logs.argmax(-1) == labels).mean()), 6)
    return replace(
        card,
        temperature=metrics.fit_temperature(logs, labels),
        held_out={"count": len(labels), "accuracy": accuracy},
    )


def best_of_views(network: MLP, images: Tensor, scores: Scores) -> Scores:
    """Return (n,): the scores of images (n, 784) or, of the lowest ones, the best one among the
    image and its views.
    """
    best = scores.copy()
    low = np.flatnonzero(scores <= np.quantile(scores, VIEWED))
    seen = torch.from_numpy(views(images[low].cpu().numpy().reshape(-1, SIDE, SIDE)))
    logits = loop.predict_logits(network, seen.view(-1, PIXELS).to(images.device))
    of_views = score(logits, network.config.classes).view(len(low), -1).amax(1)
    best[low] = np.maximum(scores[low], of_views.cpu().numpy())
    return best
