"""scikit-learn's MLPClassifier: ReLU, no BatchNorm, a constant rate are what it can express."""

import time

from protocol import Report, Settings, Split, features, serve
from sklearn.neural_network import MLPClassifier

DOCUMENTED = {"batch_size": "auto", "learning_rate": 1e-3, "epochs": 20}  # its defaults


def train(split: Split, settings: Settings, report: Report) -> None:
    settings = DOCUMENTED | settings
    images, labels, held_out, answers = features(split)
    model = MLPClassifier(
        hidden_layer_sizes=(512, 256),
        batch_size=settings["batch_size"],
        learning_rate_init=settings["learning_rate"],
        beta_1=settings.get("betas", (0.9, 0.999))[0],
        beta_2=settings.get("betas", (0.9, 0.999))[1],
        random_state=settings["seed"],
    )
    for _ in range(settings["epochs"]):
        began = time.perf_counter()
        model.partial_fit(images, labels, classes=range(10))  # an epoch
        report(time.perf_counter() - began, model.score(held_out, answers))


if __name__ == "__main__":
    serve(train)
