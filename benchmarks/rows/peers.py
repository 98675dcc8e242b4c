"""Against other trainers: time to 97 % with the tutorial's network."""

from contextlib import ExitStack
from functools import partial

from measure import curve, middle, seconds_to
from report import Claim, Points, Row, Side
from settings import BATCH_AND_RATE, QUICK, RECIPE, REFERENCE, ours
from workplace import Workplace

PEERS = {
    "scikit-learn": "with_sklearn",
    "skorch": "with_skorch",
    "Keras on JAX": "with_keras",
    "Lightning": "with_lightning",
    "DataLoader loop": "tutorial",
}
TARGET = 0.97
ALL_OF_OURS = "all of our settings"


def ninety_seven(place: Workplace) -> Row:
    """c. Each peer with the settings it documents, with our batch size and rate, with all of ours.

    Every way with a few seeds; then the fastest of the first two, and of the third, with all.
    """
    effort = place.effort
    epochs = {"epochs": effort.epochs}  # at most
    times: dict[str, list[float]] = {}
    curves: dict[str, Points] = {}
    with ExitStack() as stack:
        own = stack.enter_context(place.trainer("with_digitmlp"))
        trainings = {"digitmlp": (own, ours("quick"))}
        for peer, script in PEERS.items():
            trainer = stack.enter_context(place.trainer(script))
            if script != "tutorial":  # whose own settings are those of row a
                trainings[f"{peer}, as documented"] = (trainer, epochs)
            trainings[f"{peer}, our batch and rate"] = (trainer, BATCH_AND_RATE | epochs)
            if script != "with_sklearn":  # which knows no schedule
                trainings[f"{peer}, {ALL_OF_OURS}"] = (trainer, RECIPE)

        def reach(name: str, seed: int) -> float:
            trainer, settings = trainings[name]
            seconds, seen = seconds_to(TARGET, trainer.train(seed=seed, **settings))
            if not name.endswith(ALL_OF_OURS):
                curves.setdefault("digitmlp, to 97%" if trainer is own else name, curve(seen))
            return seconds

        for trainer, settings in trainings.values():
            trainer.warm_up(**settings)
        names = list(trainings)
        for seed in range(effort.seeds):
            if seed == effort.peer_seeds:
                chosen = fastest_peers(times)
                names = ["digitmlp", *chosen]
            sides = {name: partial(reach, name, seed) for name in names}
            for name, seconds in place.in_turns(sides, 1, warm_up=False).items():
                times.setdefault(name, []).extend(seconds)
    quick = middle(times["digitmlp"])
    peer, recipe = chosen  # of the others there are too few seeds to say more
    return Row(
        letter="c",
        title="time to 97 %, the tutorial's network",
        claims=[
            Claim(
                what=f"times as fast as the fastest peer ({peer})",
                must=4,
                aim=7,
                value=middle(times[peer]) / quick,
            ),
            Claim(
                what=f"times as fast as the fastest with all of our settings ({recipe})",
                must=None,
                aim=None,
                value=middle(times[recipe]) / quick,
            ),
        ],
        sides=[
            Side(name=name, values=values, reference=REFERENCE.get(name.split(",", 1)[0]))
            for name, values in times.items()
        ],
        notes=[
            f"every peer with {effort.peer_seeds} seeds, the fastest with all {effort.seeds}; ours "
            f"is {QUICK.epochs} epoch of one-cycle; scikit-learn has no BatchNorm; Keras's "
            "compilation is not counted"
        ],
        curves=curves,
    )


def fastest_peers(times: dict[str, list[float]]) -> tuple[str, str]:
    """Return the fastest peer with the settings that it documents or our batch size and rate, and
    the fastest with all of our settings.
    """
    peers = sorted(list(times)[1:], key=lambda name: middle(times[name]))
    return (
        next(name for name in peers if not name.endswith(ALL_OF_OURS)),
        next(name for name in peers if name.endswith(ALL_OF_OURS)),
    )
