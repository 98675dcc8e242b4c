"""Whole commands from a cold start: training, predicting, help."""

import json
from functools import partial

from measure import HERE, OURS, PEERS, Cold, cold
from report import MEGA, Claim, Row, Side
from settings import REFERENCE
from workplace import Workplace

SCRIPTS = HERE / "peers"


def training(place: Workplace) -> Row:
    """d. From the zip to submission and report, against the tutorial's script."""
    data, unpacked = place.kaggle, place.unpacked
    epochs = str(place.effort.epochs)

    def train() -> Cold:
        flags = ("--preset", "fast", "--out", place.fresh("fast"))
        return cold(place.command, "train", data, *flags)

    def script() -> Cold:
        out = place.fresh("tutorial")
        return cold(PEERS, SCRIPTS / "tutorial_script.py", unpacked, out, epochs)

    ours, theirs = place.in_turns({"ours": train, "theirs": script}, warm_up=False).values()
    metrics = json.loads((place.folder / "fast" / "metrics.json").read_text())
    result = json.loads((place.folder / "tutorial" / "result.json").read_text())
    times = min(run.seconds for run in theirs) / min(run.seconds for run in ours)
    accuracy = metrics["validation"]["accuracy"]
    return Row(
        letter="d",
        title="`digitmlp train digit-recognizer.zip`, cold, against the tutorial's script",
        claims=[
            Claim(what="times as fast", must=5, aim=7, value=times),
            Claim(what="validation accuracy", must=0.99, aim=0.992, value=accuracy, unit="%"),
        ],
        sides=[
            *runs("digitmlp train", ours),
            *runs("the tutorial's script", theirs, REFERENCE["tutorial, cold"]),
        ],
        notes=[
            f"the tutorial's script ends with {result['accuracy']:.2%}; it draws nothing, and its "
            "files lie unpacked; ours spent "
            + ", ".join(
                f"{seconds:.2f} s on {phase}" for phase, seconds in metrics["seconds"].items()
            )
        ],
    )


def predicting(place: Workplace) -> Row:
    """g. test.csv from a cold start."""
    test, weights, model = place.unpacked / "test.csv", place.folder / "model.pt", place.model
    untrained = "import torch, tutorial; torch.save(tutorial.network().state_dict(), {!r})"
    cold("env", f"PYTHONPATH={SCRIPTS}", PEERS, "-c", untrained.format(str(weights)))

    def script() -> Cold:
        return cold(PEERS, SCRIPTS / "predict_script.py", test, weights, place.fresh("theirs.csv"))

    ours, theirs = place.in_turns(
        {"ours": partial(place.predict, test, model), "theirs": script}
    ).values()
    times = min(run.seconds for run in theirs) / min(run.seconds for run in ours)
    memory = max(run.peak_bytes for run in ours) / MEGA
    return Row(
        letter="g",
        title="`digitmlp predict test.csv`, cold, against pandas and torch",
        claims=[
            Claim(what="times as fast", must=4, aim=5.5, value=times),
            Claim(what="peak memory", must=150, aim=110, value=memory, unit="MB", at_least=False),
        ],
        sides=[*runs("digitmlp predict", ours), *runs("pandas and torch", theirs)],
    )


def starting(place: Workplace) -> Row:
    """j. How long it takes to get going."""
    commands = {
        "digitmlp --help": (place.command, "--help"),
        "import digitmlp": (OURS, "-c", "import digitmlp"),
        "python alone": (OURS, "-c", "pass"),
    }
    taken = place.in_turns(
        {name: partial(cold, *command) for name, command in commands.items()},
        4 * place.effort.repeats,
    )
    help_, import_, alone = (min(run.seconds for run in starts) for starts in taken.values())
    return Row(
        letter="j",
        title="start",
        claims=[
            Claim(what=what, must=must, aim=aim, value=value, unit="s", at_least=False)
            for what, must, aim, value in (
                ("`digitmlp --help`", 0.25, 0.15, help_),
                ("`digitmlp --help` less Python's own start", 0.25, 0.15, help_ - alone),
                ("`import digitmlp` with Python's own start", 0.08, 0.03, import_),
                ("`import digitmlp` less Python's own start", 0.08, 0.03, import_ - alone),
            )
        ],
        sides=[
            Side(name=name, values=[run.seconds for run in starts])
            for name, starts in taken.items()
        ],
    )


def runs(name: str, measured: list[Cold], reference: float | None = None) -> list[Side]:
    """Return the seconds and the peak memory of a command as two sides."""
    return [
        Side(name=name, values=[run.seconds for run in measured], reference=reference),
        Side(name=f"{name}, memory", values=[run.peak_bytes / MEGA for run in measured], unit="MB"),
    ]
