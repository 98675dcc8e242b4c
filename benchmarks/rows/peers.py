"""Against other trainers: time to 97 % with the tutorial's network."""

from contextlib import ExitStack
from functools import partial

from measure import curve, middle, seconds_to
from report import Claim, Points, Row, Side
from settings import OURS_FOR_PEERS, REFERENCE, ours
from workplace import Workplace

PEERS = {
    "scikit-learn": "with_sklearn",
    "skorch": "with_skorch",
    "Keras on JAX": "with_keras",
    "Lightning": "with_lightning",
    "DataLoader loop": "tutorial",
}
TARGET = 0.97


def ninety_seven(place: Workplace) -> Row:
    """c. Each peer with the settings it documents and with ours; then the fastest of all."""
    effort = place.effort
    with ExitStack() as stack:
        own = stack.enter_context(place.trainer("with_digitmlp"))
        trainings = {"digitmlp": (own, ours("quick"))}
        for peer, script in PEERS.items():
            trainer = stack.enter_context(place.trainer(script))
            if script != "tutorial":  # whose own settings are those of row a
                trainings[f"{peer}, as documented"] = (trainer, {})
            trainings[f"{peer}, our batch and rate"] = (trainer, OURS_FOR_PEERS)
        times: dict[str, list[float]] = {name: [] for name in trainings}
        curves: dict[str, Points] = {}

        def reach(name: str, seed: int) -> float:
            trainer, settings = trainings[name]
            seconds, seen = seconds_to(TARGET, trainer.train(seed=seed, **settings))
            curves.setdefault("digitmlp, to 97%" if trainer is own else name, curve(seen))
            return seconds

        for trainer, settings in trainings.values():
            trainer.warm_up(**settings)
        names = list(trainings)
        for seed in range(effort.seeds):
            if seed == effort.peer_seeds:
                names = ["digitmlp", fastest_peer(times)]
            sides = {name: partial(reach, name, seed) for name in names}
            for name, seconds in place.in_turns(sides, 1, warm_up=False).items():
                times[name] += seconds
    fastest = fastest_peer(times)
    value = middle(times[fastest]) / middle(times["digitmlp"])
    return Row(
        letter="c",
        title="time to 97 %, the tutorial's network, against the fastest peer",
        claims=[Claim(what=f"times as fast as {fastest}", must=4, aim=7, value=value)],
        sides=[
            Side(name=name, values=values, reference=REFERENCE.get(name.split(",")[0]))
            for name, values in times.items()
        ],
        notes=[
            f"every peer with {effort.peer_seeds} seeds, then the fastest with all "
            f"{effort.seeds}; scikit-learn has neither BatchNorm nor a schedule; Keras's "
            "compilation is not counted"
        ],
        curves=curves,
    )


def fastest_peer(times: dict[str, list[float]]) -> str:
    return min(list(times)[1:], key=lambda name: middle(times[name]))
