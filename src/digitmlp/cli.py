"""The command line: parses, calls, prints; it decides nothing."""

import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from digitmlp import files
from digitmlp.config import Device, ModelConfig, TrainConfig
from digitmlp.errors import ConfigError, DataError, DigitmlpError, MissingExtraError, on_one_line
from digitmlp.interrupt import Interrupted, raise_on_signals
from digitmlp.presets import PRESETS

# What torch says where there is not enough, on a CPU by no class of its own.
NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")

app = typer.Typer(
    name="digitmlp",
    help="Handwritten digits, read by a multilayer perceptron.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _flag(kind: type, name: str, *names: str, **options: Any) -> Any:
    """Return the option of a dataclass field, with the help that stands beside its default."""
    help = next(field for field in dataclasses.fields(kind) if field.name == name).metadata["help"]
    return typer.Option(*names, help=help[:1].upper() + help[1:], show_default=False, **options)


_DATA = typer.Argument(
    help="Kaggle's folder or zip, a csv, IDX, npz, parquet, a folder of pictures, "
    "[bold]uci[/] or [bold]mnist[/].",
    metavar="DATA",
)
Data = Annotated[str, _DATA]
Model = Annotated[
    Path | None,
    typer.Option(help="A run folder or a model.onnx; left out: the weights shipped with digitmlp."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to compute with; left out: one a core.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"digitmlp {version('digitmlp')}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    threads: Threads = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = threads


@app.command()
def train(
    context: typer.Context,
    data: Annotated[str | None, _DATA] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="; ".join(f"{name}: {PRESETS[name].summary}" for name in PRESETS)
            + "; left out: fast."
        ),
    ] = None,
    epochs: Annotated[int | None, _flag(TrainConfig, "epochs")] = None,
    batch_size: Annotated[int | None, _flag(TrainConfig, "batch_size")] = None,
    learning_rate: Annotated[float | None, _flag(TrainConfig, "learning_rate")] = None,
    hidden: Annotated[str | None, _flag(ModelConfig, "hidden", metavar="WIDTH,WIDTH…")] = None,
    validation: Annotated[float | None, _flag(TrainConfig, "validation")] = None,
    seed: Annotated[int | None, _flag(TrainConfig, "seed")] = None,
    split_seed: Annotated[int | None, _flag(TrainConfig, "split_seed")] = None,
    members: Annotated[int | None, _flag(ModelConfig, "members")] = None,
    outliers: Annotated[float | None, _flag(TrainConfig, "outliers")] = None,
    device: Annotated[Device, typer.Option(help="Where to train.")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="The run folder; left out: a new one in runs/.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out where it stopped.")
    ] = False,
    fine_tune: Annotated[
        Path | None,
        typer.Option("--from", metavar="MODEL", help="Start from the weights of this run."),
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Learn from the answers of this run; repeated, from those of a committee.",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA",
            help="Learn these labelled digits too, such as your own; none of them is held out. "
            "May be repeated.",
        ),
    ] = None,
    as_json: Json = False,
    threads: Threads = None,
) -> None:
    """Train on DATA, measure, and predict its test part: the main job.

    Reads, splits, trains with progress, keeps the best epoch (with one-cycle
    the last, or the mean of the last ones), exports, evaluates, draws,
    reports, and writes submission.csv where DATA has a test part.
    Without DATA: the 1,797 digits of UCI.

    Example:  digitmlp train digit-recognizer.zip --preset tutorial
    """
    # A thread that waits for the others does so in a busy loop: for a moment, else where something
    # else computes on the same cores a training takes a hundred times as long. Threads that slept
    # are to wake up on a core each, not on one and the same. To be said before torch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("OMP_PROC_BIND", "true")
    from digitmlp import config, run, tables

    folder, result = run.train(
        data,
        preset=preset,
        out=out,
        resume=resume,
        fine_tune=fine_tune,
        teacher=teacher or (),
        also=also or (),
        device=device,
        threads=threads or context.obj,
        model={
            "hidden": config.parse_hidden(hidden) if hidden is not None else None,
            "members": members,
        },
        training={
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "validation": validation,
            "seed": seed,
            "split_seed": split_seed,
            "outliers": outliers,
        },
    )
    print(json.dumps(result) if as_json else tables.run(folder, result))
    _name_passed_over(result["passed_over"])


@app.command()
def evaluate(
    context: typer.Context,
    data: Data,
    model: Model = None,
    include_training: Annotated[
        bool,
        typer.Option("--include-training", help="Count rows that the model was trained on, too."),
    ] = False,
    as_json: Json = False,
    threads: Threads = None,
) -> None:
    """Measure a model on labelled digits that it was not trained on.

    DATA that it was trained on is known by its whole content; a part
    of it, copied to another file, is not.

    Example:  digitmlp evaluate digit-recognizer.zip --model runs/fast
    """
    from digitmlp import commands, tables

    result = commands.evaluate(data, model, include_training, threads or context.obj)
    loss, passed_over = result.pop("loss"), result.pop("passed_over")
    print(json.dumps(result) if as_json else tables.evaluation(result, loss))
    _name_passed_over(passed_over)


@app.command()
def predict(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option(help="The CSV file to write.")],
    model: Model = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add the columns p0…p9.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Predict DATA's test part, into Kaggle's ImageId,Label or file,label.

    Example:  digitmlp predict digit-recognizer.zip --model runs/fast --out submission.csv
    """
    from digitmlp import commands

    passed_over = commands.predict(data, model, out, probabilities, threads or context.obj)
    _tell_written(out, on_one_line(str(out)))
    _name_passed_over(passed_over)


@app.command()
def read(
    context: typer.Context,
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURE…", help="Photos, scans, drawings, or folders.")
    ],
    model: Model = None,
    single: Annotated[
        bool, typer.Option("--single", help="Each picture is known to hold one digit.")
    ] = False,
    explain: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save what the model saw as pictures here.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an object for each picture, for programs.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a row for each number, for programs.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Read the digits and numbers in pictures, in reading order; ? is no digit.

    Example:  digitmlp read photo.jpg --model runs/fast
    """
    from digitmlp import commands, tables

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other; give one of them")
    if as_csv:
        print(",".join(tables.NUMBER_COLUMNS))
    unread = []
    for result in commands.read(
        pictures, model, single=single, explain=explain, threads=threads or context.obj
    ):
        if isinstance(result, commands.Unread):
            unread.append(result.error)
        elif result.frames > 1:
            picture = on_one_line(result.picture)
            print(f"{picture}: the first of {result.frames} pictures", file=sys.stderr)
        if as_json:
            print(json.dumps(result.to_dict()), flush=True)
        elif not isinstance(result, commands.Unread):
            text = tables.numbers_csv(result) if as_csv else tables.reading(result)
            print(text, end="", flush=True)
    _name_passed_over(unread)


@app.command()
def show(
    data: Data,
    out: Annotated[Path, typer.Option(help="The PNG file to write.")],
    rows: Annotated[int, typer.Option(min=1, max=200, help="Rows of the grid.")] = 2,
    columns: Annotated[int, typer.Option(min=1, max=200, help="Columns of the grid.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of digits.")] = 302,
) -> None:
    """Draw a grid of digits with their labels.

    Example:  digitmlp show uci --out digits.png --rows 4 --columns 10
    """
    from digitmlp import commands

    passed_over = commands.show(data, out, rows, columns, seed)
    _tell_written(out, on_one_line(str(out)))
    _name_passed_over(passed_over)


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="The folder with the run folders.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the run folders side by side.

    Example:  digitmlp runs
    """
    from digitmlp import commands, tables

    found = commands.runs(folder)
    if as_json:
        print(json.dumps([dataclasses.asdict(summary) for summary in found]))
    else:
        print(tables.runs(found) if found else f"no runs in {on_one_line(str(folder))}")


@app.command()
def export(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="The run folder; several become one committee."),
    ],
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    compact: Annotated[
        bool, typer.Option("--compact", help="Round weights to 8 bits: a quarter of the size.")
    ] = False,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Divide the logits by this, in place of what the run's validation rows say: more "
            "rows, held out by a run of the same settings, say it better.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a run's checked ONNX file, and say what goes in and what comes out.

    Example:  digitmlp export runs/fast --out model.onnx
    """
    from digitmlp import commands, tables

    _tell_written(out, tables.contract(out, commands.export(runs, out, compact, temperature)))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
) -> None:
    """Build a run's report.html again.

    Example:  digitmlp report runs/fast
    """
    from digitmlp import commands

    print(on_one_line(str(commands.report(run))))


@app.command()
def serve(
    context: typer.Context,
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0: on every network of this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0: a free one.")
    ] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that requests may address; may be repeated."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Print a line of JSON to stderr for each request.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Serve a page to draw digits on, and an HTTP API, on this machine alone.

    Example:  digitmlp serve --model runs/fast
    """
    from digitmlp import server

    server.run(
        model,
        host,
        port,
        lambda address: print(f"digitmlp serves at {address}  (Ctrl-C stops it)", flush=True),
        workers=workers,
        threads=threads or context.obj,
        hosts=allow_host or [],
        log=access_log,
    )


def _tell_written(out: Path, text: str) -> None:
    """Print what is said of a file written; not where it went into a stream, perhaps this one."""
    if not files.is_stream(out):
        print(text)


def _name_passed_over(sentences: list[str]) -> None:
    """Name files of DATA that could not be read, though the others were; exit with 3 if any."""
    for sentence in sentences:
        print(f"digitmlp: {on_one_line(sentence)}", file=sys.stderr)
    if sentences:
        raise typer.Exit(DataError.exit_code)


def main() -> None:
    """Run the command line; every foreseen failure is a sentence and an exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `>&-`
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    raise_on_signals()
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            code = code or _fail(error)
            # Python would try again at its end, and report that as well.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _run() -> int:
    """Run the command given; return the exit code."""
    try:
        app()
    except SystemExit as end:
        return int(end.code or 0)
    except ModuleNotFoundError as error:
        missing = MissingExtraError.of(error)
        if missing is None:
            raise
        return _fail(missing)
    except (DigitmlpError, Interrupted, OSError, MemoryError) as error:
        return _fail(error)
    except RuntimeError as error:
        if not any(words in str(error) for words in NO_MEMORY):
            raise
        return _fail(MemoryError())
    return 0


def _fail(error: BaseException) -> int:
    """Print what has gone wrong as one sentence; return the exit code."""
    message = str(error)
    if isinstance(error, MemoryError):
        message = "out of memory; give less data, a smaller network, or more memory"
    elif isinstance(error, OSError):
        message = f"{error.filename or 'output'}: {error.strerror or error}"
    if not isinstance(error, BrokenPipeError):  # that reader has gone, as in `| head`: no news
        with contextlib.suppress(OSError):
            print(f"digitmlp: {on_one_line(message)}", file=sys.stderr)
    return getattr(error, "exit_code", 1)
