"""Digits in CSV files: every sound form is read, every fault named by row and column."""

import csv
import gzip
import io
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import make_digits
from hypothesis import example, given, settings
from hypothesis import strategies as st

from digitmlp import checks, csvfile
from digitmlp.csvfile import CsvFile
from digitmlp.digits import Digits, concatenate
from digitmlp.errors import DataError

PIXELS = [f"pixel{number}" for number in range(784)]
WHOLE = "expected a whole number from 0 to 255"
COLUMNS = "expected label (if known) and pixel0 to pixel783, in any order"
HEADER = "expected the column names label (if known), pixel0, pixel1, … pixel783"
RESCALE = "pixels scaled to 0-1 must be multiplied by 255 and rounded first"


def cells_of(digits: Digits) -> list[list[str]]:
    """Return header and rows as Kaggle's train.csv has them, test.csv where labels are unknown."""
    rows = [[str(pixel) for pixel in image.ravel()] for image in digits.images]
    if digits.labels is None:
        return [PIXELS, *rows]
    labelled = [[str(label), *row] for label, row in zip(digits.labels, rows, strict=True)]
    return [["label", *PIXELS], *labelled]


def text_of(cells: list[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in cells)


def file_of(content: str | bytes, packed: int | None = None) -> CsvFile:
    data = content.encode() if isinstance(content, str) else content
    return CsvFile("a.csv", lambda: io.BytesIO(data), len(data) if packed is None else packed)


def read(content: str | bytes, *, labelled: bool = True) -> Digits:
    return concatenate(list(file_of(content).read(labelled=labelled)))


def fault(content: str | bytes, *, labelled: bool = True) -> str:
    with pytest.raises(DataError) as caught:
        read(content, labelled=labelled)
    return str(caught.value)


def same(one: Digits, other: Digits) -> bool:
    return one.digest() == other.digest() and len(one) == len(other)


@pytest.fixture
def cells() -> list[list[str]]:
    """Three labelled rows under a header."""
    return cells_of(make_digits(3))


def test_digits_come_back_as_they_were_written():
    digits = make_digits(30)
    again = read(text_of(cells_of(digits)))
    assert np.array_equal(again.images, digits.images)
    assert np.array_equal(again.labels, digits.labels)
    assert again.labels.dtype == np.int64


def test_columns_in_any_order_give_the_same_digits(cells):
    order = np.random.default_rng(1).permutation(785)
    shuffled = [[row[place] for place in order] for row in cells]
    assert same(read(text_of(shuffled)), make_digits(3))
    label_last = [[*row[1:], row[0]] for row in cells]
    assert same(read(text_of(label_last)), make_digits(3))


def test_columns_may_be_named_by_row_and_column(cells):
    names = ["label", *(f"{1 + place // 28}x{1 + place % 28}" for place in range(784))]
    assert names[30] == "2x2"
    assert same(read(text_of([names, *cells[1:]])), make_digits(3))
    order = np.random.default_rng(1).permutation(785)
    shuffled = [[row[place] for place in order] for row in [names, *cells[1:]]]
    assert same(read(text_of(shuffled)), make_digits(3))
    assert (
        fault(text_of([names[:-1], *cells[1:]]))
        == f"a.csv: column 'pixel783' is missing; {COLUMNS}"
    )


@pytest.mark.parametrize("form", ["byte-order mark", "CR LF", "no last newline", "quoted header"])
def test_common_forms_of_csv_are_read(form, cells):
    text = text_of(cells)
    if form == "byte-order mark":
        text = "\ufeff" + text
    elif form == "CR LF":
        text = text.replace("\n", "\r\n")
    elif form == "no last newline":
        text = text.removesuffix("\n")
    else:
        header, _, rows = text.partition("\n")
        text = '"' + header.replace(",", '","') + '"\n' + rows
    assert same(read(text), make_digits(3))


@pytest.mark.parametrize("end", ["\n", "\n\n\n", "\r\n\r\n"])
def test_blank_lines_at_the_end_are_no_rows(end, cells):
    assert same(read(text_of(cells) + end), make_digits(3))


def test_blank_line_between_rows_is_refused(cells):
    header, first, second, third = text_of(cells).splitlines(keepends=True)
    text = header + first + second + "\n" + third
    assert fault(text) == "a.csv: row 3 is blank; expected 785 cells"
    assert fault(text.replace("\n", "\r\n")) == "a.csv: row 3 is blank; expected 785 cells"


def test_header_only_has_no_rows():
    assert len(read(",".join(PIXELS), labelled=False)) == 0
    assert len(read(",".join(["label", *PIXELS]) + "\n\n")) == 0


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"", "is empty"),
        (b"\n1,2\n", "the first line is blank"),
        (b"5,0,0\n5,0,0\n", "the first line starts with '5'"),
        (b"label;pixel0\n", "the first line starts with 'label;pixel0'"),
    ],
)
def test_file_without_header_is_refused(start, what):
    assert fault(start) == f"a.csv: {what}; {HEADER}"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused(encoding, cells):
    message = "a.csv: is UTF-16 or no text at all; save it as CSV in UTF-8"
    assert fault(text_of(cells).encode(encoding)) == message


def test_lines_ended_by_cr_alone_are_refused(cells):
    text = text_of(cells).replace("\n", "\r")
    assert fault(text) == "a.csv: its lines end in CR alone; save it with LF or CR LF"


def test_missing_doubled_and_renamed_columns_are_named(cells):
    def renamed(**names: str) -> str:
        header = [names.get(column, column) for column in cells[0]]
        return fault(text_of([header, *cells[1:]]))

    missing = [row[:5] + row[6:] for row in cells]
    assert fault(text_of(missing)) == f"a.csv: column 'pixel4' is missing; {COLUMNS}"
    assert renamed(pixel4="pixel3") == f"a.csv: column 'pixel3' is there twice; {COLUMNS}"
    assert renamed(pixel4="Pixel4") == (
        f"a.csv: column 'pixel4' is missing and column 'Pixel4' is unknown; {COLUMNS}"
    )
    halved = [row[:393] for row in cells]
    assert fault(text_of(halved)) == (
        f"a.csv: 392 columns are missing ('pixel392' is the first); {COLUMNS}"
    )
    added = [[*row, "1"] for row in cells]
    added[0][-1] = "writer"
    assert fault(text_of(added)) == f"a.csv: column 'writer' is unknown; {COLUMNS}"


@pytest.mark.parametrize("row", [1, 2, 3])
@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (-1, "a last row that is too short means that the file was cut"),
        (1, "mend or delete that row"),
    ],
)
def test_short_or_long_row_is_named(row, change, advice, cells):
    cells[row] = cells[row][:-1] if change < 0 else [*cells[row], "0"]
    assert fault(text_of(cells)) == (
        f"a.csv: row {row} has {785 + change} cells, expected 785; {advice}"
    )


def test_short_row_made_up_for_by_a_long_one_is_named():
    cells = cells_of(Digits(make_digits(3).images))
    cells[2].append(cells[1].pop())
    assert fault(text_of(cells), labelled=False).startswith("a.csv: row 1 has 783 cells")


def test_file_cut_in_mid_row_is_refused(cells):
    text = text_of(cells)
    assert fault(text[: len(text) - 1000]).startswith("a.csv: row 3 has ")
    at_comma = text[: text.rindex(",") + 1]
    assert fault(at_comma) == f"a.csv: row 3, column pixel783 is empty; {WHOLE}"


BEYOND = ["256", "999", "1000", "0001", "-1", "-0", "+5"]
NO_WHOLE_NUMBER = ["3.5", "3.0", "1e2", "nan", "NaN", "inf", "x", "0x1", "1_0", "#5", "5#"]
ODD_TEXT = ["٣", "²", '"5"', "'5'", " 5", "5 ", "\t5", "\0", "\x0b5", "\xa05", "5\r6"]


@pytest.mark.parametrize("cell", [*BEYOND, *NO_WHOLE_NUMBER, *ODD_TEXT])
def test_cell_that_is_no_pixel_is_named(cell, cells):
    cells[2][7] = cell
    assert fault(text_of(cells)) == f"a.csv: row 2, column pixel6 is {cell!r}; {WHOLE}"


@pytest.mark.parametrize("before", ["0", "7", "255"])
@pytest.mark.parametrize("column", [0, 6, 783])
def test_empty_cell_is_named(column, before, cells):
    cells[2][column : column + 2] = [before, ""]
    cells[2][0] = "7"
    assert fault(text_of(cells)) == f"a.csv: row 2, column pixel{column} is empty; {WHOLE}"


@pytest.mark.parametrize("cell", ["0.5", ".003921569", "1.0", "3.9e-03"])
def test_pixels_scaled_to_decimals_are_refused(cell, cells):
    cells[1][1] = cell
    decimal = re.fullmatch(r"[01]?\.\d+", cell)
    advice = f"; {RESCALE}" if decimal else ""
    assert fault(text_of(cells)) == f"a.csv: row 1, column pixel0 is {cell!r}; {WHOLE}{advice}"


@pytest.mark.parametrize("label", ["10", "255", "-1", "3.5", "seven", ""])
def test_label_that_is_no_digit_is_named(label, cells):
    cells[3][0] = label
    what = repr(label) if label else "empty"
    expected = "expected a whole number from 0 to 9"
    assert fault(text_of(cells)) == f"a.csv: row 3, column label is {what}; {expected}"


def test_first_of_several_faults_is_named(cells):
    cells[3][9] = "x"
    cells[2][0] = "12"
    assert fault(text_of(cells)).startswith("a.csv: row 2, column label is '12'")


def test_fault_far_down_is_named_by_its_row():
    rows = [["0"] * 784 for _ in range(900)]
    rows[765][783] = "300"
    text = text_of([PIXELS, *rows])
    assert fault(text, labelled=False).startswith("a.csv: row 766, column pixel783 is '300'")


def test_whole_numbers_scaled_to_0_and_1_are_refused():
    scaled = Digits((make_digits(9).images > 99).astype(np.uint8))
    message = f"a.csv: the highest of all pixels is 1, expected 0 to 255; {RESCALE}"
    assert fault(text_of(cells_of(scaled)), labelled=False) == message


def test_blank_images_are_read():
    blank = Digits(np.zeros((9, 28, 28), np.uint8))
    assert same(read(text_of(cells_of(blank)), labelled=False), blank)


def test_training_file_and_test_file_are_told_apart():
    digits = make_digits(2)
    train, test = text_of(cells_of(digits)), text_of(cells_of(Digits(digits.images)))
    assert fault(train, labelled=False) == (
        "a.csv: has a label column, so it is a training file; "
        "give a file without labels to predict for"
    )
    assert fault(test) == (
        "a.csv: has no label column, so it is a test file; "
        "training and evaluation need a label in every row"
    )


def test_endless_line_is_refused():
    text = ",".join(PIXELS) + "\n" + "0," * 400_000
    assert fault(text, labelled=False) == (
        "a.csv: has a line of more than 65,536 bytes; is it a CSV?"
    )


def test_text_that_came_out_of_far_fewer_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(checks, "BOMB_BYTES", 1 << 20)
    text = text_of([PIXELS, *[["0"] * 784] * 1000])
    file = file_of(text, packed=len(gzip.compress(text.encode())))
    with pytest.raises(DataError) as caught:
        list(file.read(labelled=False))
    assert str(caught.value) == (
        "a.csv: unpacks to more than 200 times its size, as a zip bomb does; "
        "if it is sound, give it unpacked"
    )


class Endless(io.RawIOBase):
    """A header, then so many equal rows, made as they are read."""

    def __init__(self, rows: int) -> None:
        self.row = (",".join(["9"] * 784) + "\n").encode()
        self.waiting = (",".join(PIXELS) + "\n").encode()
        self.rows = rows

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while self.rows and len(self.waiting) < len(buffer):
            self.waiting += self.row * min(self.rows, 100)
            self.rows -= min(self.rows, 100)
        part, self.waiting = self.waiting[: len(buffer)], self.waiting[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


def test_memory_does_not_grow_with_the_rows():
    def peak(rows: int) -> int:
        file = CsvFile("a.csv", lambda: io.BufferedReader(Endless(rows), 1 << 20), 1 << 40)
        tracemalloc.reset_peak()
        assert sum(len(batch) for batch in file.read(labelled=False)) == rows
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        assert peak(40_000) < 1.2 * peak(20_000)
    finally:
        tracemalloc.stop()


images = st.integers(0, 4).flatmap(lambda rows: st.binary(min_size=784 * rows, max_size=784 * rows))


@settings(max_examples=20, deadline=None)
@given(images, st.randoms(use_true_random=False), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_any_images_in_any_column_order_come_back(pixels, random, labelled, newline):
    pictures = np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)
    if pictures.max(initial=0) == 1:
        return  # taken for images scaled to 0-1
    digits = Digits(pictures, np.arange(len(pictures)) * 2 if labelled else None)
    columns = list(range(785 if labelled else 784))
    random.shuffle(columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=newline)
    writer.writerows([row[column] for column in columns] for row in cells_of(digits))
    again = read(text.getvalue(), labelled=labelled)
    assert np.array_equal(again.images, pictures)
    assert not labelled or len(pictures) == 0 or np.array_equal(again.labels, digits.labels)


def is_pixel(cell: str) -> bool:
    return re.fullmatch(r"[0-9]{1,3}", cell, re.ASCII) is not None and int(cell) <= 255


broken = st.one_of(
    st.text(st.characters(exclude_characters=",\r\n", exclude_categories=["Cs"]), max_size=9),
    st.integers().map(str),
    st.floats().map(str),
).filter(lambda cell: not is_pixel(cell))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(0, 783), broken)
def test_any_broken_cell_is_named(row, column, cell):
    cells = cells_of(Digits(make_digits(3).images))
    cells[row][column] = cell
    what = repr(cell[:20]) if cell else "empty"
    message = fault(text_of(cells), labelled=False)
    assert message.startswith(f"a.csv: row {row}, column pixel{column} is {what}; {WHOLE}")


number = st.sampled_from([0, 0, 1, 9, 10, 25, 99, 100, 255, 256, 999, 1000]).map(str)
oddity = st.sampled_from(["007", "0255", "", "", "-1", "\r"])
line = st.lists(st.one_of(number, number, number, oddity), min_size=3, max_size=3)
lines = st.lists(st.one_of(line, line, line, st.lists(number)))


@example("0\n0,0,0,0,0\n")
@example("0,0,0\n0,0\n0\n")
@example("0,0,0,0,0,0\n")
@example("0,,0\n")
@example("0,0,1000\n")
@settings(max_examples=300, deadline=None)
@given(st.one_of(lines.map(text_of), st.text("0123456789,\n+- .\r", max_size=40)))
def test_parser_agrees_with_a_plain_loop(text):
    text = text.removesuffix("\n") + "\n"
    wanted = [line.split(",") for line in text.removesuffix("\n").split("\n")]
    sound = all(len(row) == 3 and all(map(is_pixel, row)) for row in wanted)
    cells = csvfile._parse(text.encode(), 3)
    assert (cells is not None) == sound
    if sound:
        assert cells.tolist() == [[int(cell) for cell in row] for row in wanted]


@pytest.mark.parametrize("size", [1, 7, 3000, 100_000])
def test_block_size_changes_nothing(size, monkeypatch, tmp_path: Path):
    digits = make_digits(40)
    monkeypatch.setattr(csvfile, "_BLOCK", size)
    assert same(read(text_of(cells_of(digits)).replace("\n", "\r\n") + "\n"), digits)
