"""Our own steps: what they spend their time on, ten times the rows, a GPU."""

from collections.abc import Iterator
from functools import partial

from measure import HERE, OURS, EpochTime, answer, curve, middle, seconds_to
from report import Claim, Row, Side
from settings import ours
from workplace import Workplace


def best_step(place: Workplace) -> Row:
    """f. What the steps of `best` spend their time on."""
    runs = place.in_turns({"best": lambda: answer(OURS, HERE / "step.py")}, warm_up=False)["best"]
    run = max(runs, key=lambda run: run["share"])
    peak = max(max(run["mm"], run["onednn"]) for run in runs)
    rate = max(run["gflops"] for run in runs) / peak
    yardstick = "the faster of `torch.mm` and oneDNN on large squares"
    return Row(
        letter="f",
        title="the step of `best`",
        claims=[
            Claim(
                what="share of its time in matrix products",
                must=0.7,
                aim=0.85,
                value=run["share"],
                unit="%",
            ),
            Claim(what=f"their rate against {yardstick}", must=0.6, aim=0.8, value=rate, unit="%"),
        ],
        sides=[
            Side(name="a step", values=[run["seconds"] for run in runs]),
            Side(name="its matrix products", values=[run["products"] for run in runs]),
            Side(name="their rate", values=[run["gflops"] for run in runs], unit="GFLOP/s"),
            Side(name="torch.mm", values=[run["mm"] for run in runs], unit="GFLOP/s"),
            Side(name="oneDNN", values=[run["onednn"] for run in runs], unit="GFLOP/s"),
        ],
        notes=[f"largest other parts of a step: {run['others']}"],
    )


def ten_times_the_rows(place: Workplace) -> Row:
    """l. Time per row when there are ten times as many."""
    settings = ours("quick", epochs=1000, schedule="constant")
    with place.trainer("with_digitmlp") as small, place.trainer("with_digitmlp") as large:
        trainings = {
            "once": small.train(seed=0, **settings),
            "ten times": large.train(seed=0, copies=10, **settings),
        }

        def epoch(training: Iterator[EpochTime], rows: float) -> float:
            return next(training).seconds / rows

        rows = 0.8 * place.labelled_rows
        taken = place.in_turns(
            {
                "once": partial(epoch, trainings["once"], rows),
                "ten times": partial(epoch, trainings["ten times"], 10 * rows),
            }
        )
        for training in trainings.values():
            training.close()
    value = min(taken["ten times"]) / min(taken["once"])
    what = "time per row against 1 ×"
    return Row(
        letter="l",
        title="training on 10 × the rows",
        claims=[Claim(what=what, must=1.1, aim=None, value=value, at_least=False)],
        sides=[
            Side(name=f"a row, {rows} the rows", values=values) for rows, values in taken.items()
        ],
    )


def gpu(place: Workplace) -> Row:
    """m. The tutorial's recipe and 99.0 % on a GPU."""
    recipe, accurate = "tutorial recipe, 20 epochs at batch 64", "time to 99.0 %, preset `fast`"
    times: dict[str, list[float]] = {}
    row = Row(letter="m", title="a GPU, after a warm-up", claims=[], sides=[])
    if place.has_gpu():
        with place.trainer("with_digitmlp", gpu=True) as own:
            seeds = iter(range(1000))

            def follow() -> float:
                training = own.train(seed=0, device="cuda", **ours("tutorial"))
                return sum(epoch.seconds for epoch in training)

            def reach() -> float:
                training = own.train(seed=next(seeds), device="cuda", **ours("fast"))
                seconds, seen = seconds_to(0.99, training)
                row.curves["digitmlp, fast, on a GPU"] = curve(seen)
                return seconds

            times |= place.in_turns({recipe: follow})
            times |= place.in_turns({accurate: reach}, place.effort.seeds)
        row.sides = [Side(name=name, values=values) for name, values in times.items()]
    else:
        row.notes = ["no GPU on this machine"]
    values = (min(times[recipe]), middle(times[accurate])) if times else (None, None)
    row.claims = [
        Claim(what=what, must=2, aim=aim, value=value, unit="s", at_least=False)
        for what, aim, value in zip((recipe, accurate), (1, 0.5), values, strict=True)
    ]
    return row
