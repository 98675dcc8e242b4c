"""The tables of MODEL_CARD.md, measured anew; draws docs/mistakes.png.

python benchmarks/card.py DATA RUN MODEL

DATA   Kaggle's digit-recognizer.zip
RUN    the run folder that names the validation rows
MODEL  the .onnx to measure
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitmlp import figures, metrics, runfolder, sources
from digitmlp.digits import Digits, concatenate
from digitmlp.recognizer import load

REFUSED = 0.01  # share of the least confident answers
DRAWS = 200  # of labels, to tell what calibration error chance alone gives


def after_refusal(chances: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the error that is left when the least confident answers are refused."""
    kept = np.argsort(chances.max(1), kind="stable")[round(REFUSED * len(labels)) :]
    return float(np.mean(metrics.decide(chances[kept]) != labels[kept]))


def error_by_chance(chances: NDArray[np.float32]) -> tuple[float, float]:
    """Return mean and standard deviation of the calibration error that these probabilities would
    show if all of them were true.
    """
    random, borders = np.random.default_rng(0), chances.cumsum(1, np.float64)[:, :-1]
    errors = []
    for _ in range(DRAWS):
        labels = (random.random((len(chances), 1)) > borders).sum(1)
        errors.append(metrics.evaluate(chances, labels).ece)
    return float(np.mean(errors)), float(np.std(errors))


def print_figures(name: str, digits: Digits, chances: NDArray[np.float32]) -> None:
    assert digits.labels is not None
    measured = metrics.evaluate(chances, digits.labels)
    low, high = measured.confidence_interval
    print(
        f"| {name} | {len(digits):,} | {measured.error:.2%} ({1 - high:.2%} to {1 - low:.2%}) | "
        f"{measured.ece:.2%} | {after_refusal(chances, digits.labels):.2%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    model = load(options.model)
    print(f"sha256 {model.sha256}")
    print(f"threshold {model.threshold:.2f}, of views {model.threshold_of_views}\n")

    rows = np.array(runfolder.read_config(options.run)["validation_rows"])
    held_out = sources.open_source(options.data).read_train().select(rows)
    others = concatenate(list(sources.open_source("uci").stream_test()))
    print("| digits | count | error (95 %) | ECE, 15 bins | error, least sure 1 % refused |")
    print("|---|---|---|---|---|")
    answers = {}
    for name, digits in {"held-out rows": held_out, "UCI, test part": others}.items():
        answers[name] = model.predict_proba(digits.images)
        print_figures(name, digits, answers[name])

    mean, spread = error_by_chance(answers["held-out rows"])
    print(f"\nECE of the held-out rows were all probabilities true: {mean:.2%} ± {spread:.2%}")

    assert held_out.labels is not None
    assert others.labels is not None
    mistaken = metrics.decide(answers["held-out rows"]) != held_out.labels
    print("\n| digit | held out | read wrong |\n|---|---|---|")
    for digit in range(10):
        own = held_out.labels == digit
        print(f"| {digit} | {own.sum()} | {(own & mistaken).sum()} |")
    print("\nrows of train.csv read wrong:", ", ".join(map(str, np.sort(rows[mistaken] + 1))))
    gallery = figures.most_wrong(
        others.images, others.labels, answers["UCI, test part"], np.arange(1, len(others) + 1)
    )
    figures.save(gallery, Path(__file__).parents[1] / "docs" / "mistakes.png")


if __name__ == "__main__":
    main()
