"""Files larger than memory should ever have to hold: a hundred times test.csv, and as Parquet."""

import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow
from measure import BenchError, timed
from pyarrow import parquet
from report import MEGA, Claim, Row, Side
from rows.commands import runs
from workplace import Workplace

from digitmlp import sources
from digitmlp.digits import Images

NEEDED = 9e9  # bytes of free disk
LARGE_REPEATS = 2  # of the largest files, each a hundred repeats in itself
FORMATS = {"csv": "CSV", "parquet": "Parquet"}


def files(place: Workplace) -> Row:
    """k. Time per row and memory of `predict`, for one row, test.csv, and many times test.csv."""
    if shutil.disk_usage(place.folder).free < NEEDED:
        raise BenchError(f"{place.folder}: row k needs {NEEDED / 1e9:.0f} GB of free disk there")
    test, model, copies = place.unpacked / "test.csv", place.model, place.effort.copies
    images = place.test_images()
    rows = {"one row": 1, "test.csv": len(images), f"{copies} × test.csv": copies * len(images)}
    paths = {
        (kind, name): place.folder / f"{count}.{kind}"
        for kind in FORMATS
        for name, count in rows.items()
    }
    for (kind, name), path in paths.items():
        write = write_csv if kind == "csv" else write_parquet
        write(path, test, images, rows[name])
    os.sync()  # or the disk would be busy while the first are read
    one, once, many = rows
    sides = {key: partial(place.predict, path, model) for key, path in paths.items()}
    small = {(kind, name): measure for (kind, name), measure in sides.items() if name != many}
    taken = place.in_turns(sides, min(LARGE_REPEATS, place.effort.repeats), warm_up=False)
    more = place.effort.repeats - LARGE_REPEATS
    if more > 0:
        for key, measured in place.in_turns(small, more, warm_up=False).items():
            taken[key] += measured
    source = sources.open_source(str(test))
    parser = place.in_turns({"": partial(timed, lambda: list(source.stream_test()))})[""]
    for path in paths.values():
        path.unlink()
    claims = []
    for kind, title in FORMATS.items():
        seconds = {name: min(run.seconds for run in taken[kind, name]) for name in rows}
        a_row = {name: (seconds[name] - seconds[one]) / rows[name] for name in (once, many)}
        memory = max(run.peak_bytes for run in taken[kind, many]) / MEGA
        claims += [
            Claim(
                what=f"{title}: time per row against test.csv's, start-up aside",
                must=1.1,
                aim=None,
                value=a_row[many] / a_row[once],
                at_least=False,
            ),
            Claim(
                what=f"{title}: peak memory",
                must=400,
                aim=None,
                value=memory,
                unit="MB",
                at_least=False,
            ),
        ]
        if kind == "csv":
            claims.append(
                Claim(
                    what="CSV: time per row against the parser's alone",
                    must=None,
                    aim=1.1,
                    value=a_row[many] / (min(parser) / len(images)),
                    at_least=False,
                )
            )
    return Row(
        letter="k",
        title=f"`digitmlp predict` on {copies} × test.csv, {rows[many]:,} rows",
        claims=claims,
        sides=[
            *(
                side
                for (kind, name), measured in taken.items()
                for side in runs(f"{FORMATS[kind]}, {name}", measured)
            ),
            Side(name="the parser alone, test.csv", values=parser),
        ],
    )


def write_csv(path: Path, test: Path, images: Images, rows: int) -> None:
    """Write so many rows of test.csv, whose rows come again and again."""
    header, _, body = test.read_bytes().partition(b"\n")
    body = body.rstrip(b"\n") + b"\n"
    with path.open("wb") as file:
        file.write(header + b"\n")
        if rows == 1:
            file.write(body.partition(b"\n")[0] + b"\n")
        for _ in range(rows // len(images)):
            file.write(body)


def write_parquet(path: Path, test: Path, images: Images, rows: int) -> None:
    """Write the same rows as Parquet."""
    pixels = images.reshape(len(images), -1)[:rows]
    columns = {f"pixel{place}": np.ascontiguousarray(pixels[:, place]) for place in range(784)}
    table = pyarrow.table(columns)
    with parquet.ParquetWriter(path, table.schema) as writer:
        for _ in range(max(1, rows // len(images))):
            writer.write_table(table)
