"""The temperature that the held-out rows of one or several trainings ask for, each and together.

python benchmarks/temperature.py DATA RUN MODEL [RUN MODEL ...]

DATA   Kaggle's digit-recognizer.zip
RUN    a run folder, which names the rows that its model did not learn
MODEL  that model, a .onnx; of other rows another, trained alike
"""

import argparse
from pathlib import Path

import numpy as np

from digitmlp import metrics, runfolder, sources
from digitmlp.recognizer import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("pairs", nargs="+", metavar="RUN MODEL")
    options = parser.parse_args()
    if len(options.pairs) % 2:
        parser.error(f"{options.pairs[-1]}: expected a MODEL after each RUN")
    digits = sources.open_source(options.data).read_train()
    assert digits.labels is not None
    logits, labels = [], []
    print("| model | rows | its own | that suits them | read wrong |\n|---|---|---|---|---|")
    for run, name in zip(options.pairs[::2], options.pairs[1::2], strict=True):
        model = load(Path(name))
        rows = runfolder.validation_rows(Path(run), model.card, len(digits))
        if not rows or model.card.data != digits.digest():
            parser.error(f"{run}: names no rows of {options.data} that {name} did not learn")
        held_out = digits.select(np.array(rows))
        assert held_out.labels is not None
        chances = model.predict_proba(held_out.images)
        logits.append(np.log(np.maximum(chances, np.finfo(np.float32).tiny)))
        logits[-1] *= model.card.temperature
        labels.append(held_out.labels)
        wrong = np.count_nonzero(metrics.decide(chances) != held_out.labels)
        suits = metrics.fit_temperature(logits[-1], held_out.labels)
        print(
            f"| {name} | {len(chances):,} | {model.card.temperature:.3f} | {suits:.3f} | {wrong} |"
        )
    together = metrics.fit_temperature(np.concatenate(logits), np.concatenate(labels))
    print(f"\nTogether: {together:.3f}")


if __name__ == "__main__":
    main()
