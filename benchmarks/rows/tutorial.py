"""Against the tutorial's loop: the same training, time to its accuracy, time to 99 %."""

from functools import partial
from itertools import islice

from measure import EpochTime, curve, middle, seconds_to
from report import Claim, Points, Row, Side
from settings import QUICK, REFERENCE, TUTORIAL_ACCURACY, ours
from workplace import Workplace

LOOP, OURS = "the tutorial's loop", "digitmlp, tutorial"


def preset(place: Workplace) -> Row:
    """a. The same training, once by the tutorial's loop and once by ours."""
    epochs, repeats = place.effort.epochs, place.effort.repeats
    block = epochs // repeats
    with place.trainer("tutorial") as theirs, place.trainer("with_digitmlp") as own:
        theirs.warm_up()
        own.warm_up(**ours("tutorial"))
        more = 3 * epochs  # a turn that is disturbed is measured again with the epochs that follow
        trainings = {
            LOOP: theirs.train(seed=0, epochs=more),
            OURS: own.train(seed=0, **ours("tutorial", epochs=more)),
        }
        seen: dict[str, list[EpochTime]] = {name: [] for name in trainings}

        def next_block(name: str) -> float:
            new = list(islice(trainings[name], block))
            seen[name] += new
            return sum(epoch.seconds for epoch in new)

        taken = place.in_turns(
            {name: partial(next_block, name) for name in trainings}, warm_up=False
        )
        for training in trainings.values():
            training.close()
    whole = {name: min(seconds) * epochs / block for name, seconds in taken.items()}
    accuracy = {name: past[epochs - 1].accuracy for name, past in seen.items()}
    reference = REFERENCE["tutorial, an epoch"] * block
    return Row(
        letter="a",
        title=f"`tutorial` preset against the tutorial's loop, {epochs} epochs",
        claims=[
            Claim(what="times as fast", must=4, aim=6, value=whole[LOOP] / whole[OURS]),
            Claim(
                what="accuracies differ by",
                must=0.3,
                aim=None,
                value=100 * abs(accuracy[LOOP] - accuracy[OURS]),
                unit="points",
                at_least=False,
            ),
        ],
        sides=[
            Side(name=f"{LOOP}, {block} epochs", values=taken[LOOP], reference=reference),
            Side(name=f"{OURS}, {block} epochs", values=taken[OURS]),
        ],
        notes=[
            f"{epochs} epochs at the fastest pace: the tutorial's loop {whole[LOOP]:.1f} s "
            f"(reference machine {REFERENCE['tutorial, 20 epochs']} s), digitmlp "
            f"{whole[OURS]:.1f} s; validation accuracy {accuracy[LOOP]:.2%} and "
            f"{accuracy[OURS]:.2%}"
        ],
        curves={name: curve(past[:epochs]) for name, past in seen.items()},
    )


def its_accuracy(place: Workplace) -> Row:
    """b. Our time to the accuracy that the tutorial ends with, against its 20 epochs."""
    epochs = place.effort.epochs
    epoch, seconds, _ = _against_epochs(place, "quick", TUTORIAL_ACCURACY)
    value = epochs * min(epoch.values) / middle(seconds.values)
    return Row(
        letter="b",
        title=f"time to the tutorial's {TUTORIAL_ACCURACY:.1%} against its {epochs} epochs",
        claims=[Claim(what="times as fast", must=100, aim=200, value=value)],
        sides=[seconds, epoch],
        notes=[
            f"{QUICK.epochs} epochs, batches of {QUICK.batch_size}, one cycle up to "
            f"{QUICK.learning_rate}"
        ],
    )


def ninety_nine(place: Workplace) -> Row:
    """e. Our time to 99.0 %, in epochs of the tutorial's loop."""
    epoch, seconds, reached = _against_epochs(place, "fast", 0.99)
    value = middle(seconds.values) / min(epoch.values)
    what = "in epochs of the tutorial's loop"
    return Row(
        letter="e",
        title="time to 99.0 %, preset `fast`",
        claims=[Claim(what=what, must=5, aim=2, value=value, unit="epochs", at_least=False)],
        sides=[seconds, epoch],
        curves={"digitmlp, fast": reached},
    )


def _against_epochs(place: Workplace, name: str, target: float) -> tuple[Side, Side, Points]:
    """Return the tutorial's epochs, our seconds to the target with every seed, the first curve.

    In turns, an epoch of the tutorial's loop and a training of ours; then the rest of the seeds.
    """
    effort = place.effort
    epochs: list[float] = []
    found: list[float] = []
    curves: list[Points] = []
    with place.trainer("tutorial") as theirs, place.trainer("with_digitmlp") as own:
        loop = theirs.train(seed=0, epochs=1000)
        next(loop)
        own.warm_up(**ours(name))

        def reach(seed: int) -> float:
            seconds, seen = seconds_to(target, own.train(seed=seed, **ours(name)))
            curves.append(curve(seen))
            return seconds

        for seed in range(effort.seeds):
            sides = {"ours": partial(reach, seed)}
            if seed < effort.repeats:
                sides["theirs"] = lambda: next(loop).seconds
            turn = place.in_turns(sides, 1, warm_up=False)
            found += turn["ours"]
            epochs += turn.get("theirs", [])
        loop.close()
    reference = REFERENCE["tutorial, an epoch"]
    epoch = Side(name="the tutorial's loop, an epoch", values=epochs, reference=reference)
    return epoch, Side(name=f"digitmlp to {target:.1%}", values=found), curves[0]
