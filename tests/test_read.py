"""The command `read`: what it prints, and that one bad picture spoils no other."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw


@pytest.fixture
def pictures(tmp_path):
    """Return a folder with a drawing of two strokes, a blank sheet, and a file that is neither."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    drawing = Image.new("L", (120, 80), 255)
    draw = ImageDraw.Draw(drawing)
    draw.line((40, 15, 40, 65), fill=0, width=6)
    draw.line((80, 15, 80, 65), fill=0, width=6)
    drawing.save(folder / "drawing.png")
    Image.new("L", (60, 60), 255).save(folder / "more" / "blank.png")
    (folder / "torn.png").write_bytes((folder / "drawing.png").read_bytes()[:60])
    return folder


def test_json_has_an_object_for_each_picture_and_errors_beside_readings(
    command, finished, pictures
):
    code, out, err = command("read", pictures, "--model", finished, "--json")
    drawing, blank, torn = map(json.loads, out.splitlines())
    assert code == 3
    assert drawing["picture"] == str(pictures / "drawing.png")
    (number,) = drawing["numbers"]
    assert number["line"] == 1
    assert len(number["digits"]) == len(drawing["text"]) == 2
    first, second = (digit["box"] for digit in number["digits"])
    assert first == pytest.approx([37, 15, 44, 66], abs=2)
    assert second == pytest.approx([77, 15, 84, 66], abs=2)
    assert blank == {"picture": str(pictures / "more" / "blank.png"), "text": "", "numbers": []}
    assert set(torn) == {"picture", "error"}
    assert torn["error"] in err


def test_csv_has_a_row_for_each_number(command, finished, pictures):
    code, out, _ = command("read", pictures / "drawing.png", "--model", finished, "--csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert code == 0
    assert row["picture"] == str(pictures / "drawing.png")
    assert (row["line"], len(row["number"])) == ("1", 2)
    assert 0.1 <= float(row["probability"]) <= 1
    assert int(row["left"]) < int(row["right"])


def test_people_get_a_line_for_each_number(command, finished, pictures):
    _, out, _ = command("read", pictures / "more", "--model", finished)
    assert out == f"{pictures / 'more' / 'blank.png'}\n  no digits\n"


@pytest.mark.skipif(os.name == "nt", reason="has no such names")
def test_names_cannot_steer_the_terminal(command, finished, pictures):
    name = "red \x1b[31m\n\u2028üé\u3000.png"
    picture = (pictures / "more" / "blank.png").rename(pictures / "more" / name)
    _, out, _ = command("read", picture, "--model", finished)
    shown = f"{picture.parent}/red \\x1b[31m\\n\\u2028üé\u3000.png"
    assert out == f"{shown}\n  no digits\n"
    blank = Image.new("L", (60, 60), 255)
    blank.save(picture, "gif", save_all=True, append_images=[Image.new("L", (60, 60), 254)])
    _, _, err = command("read", picture, "--model", finished)
    assert err == f"{shown}: the first of 2 pictures\n"
    picture.write_bytes(b"")
    _, _, err = command("read", picture, "--model", finished)
    assert err.startswith(f"digitmlp: {shown}: is empty")
    _, _, err = command("evaluate", f"{picture}.csv", "--model", finished)
    assert err.startswith(f"digitmlp: {shown}.csv: there is no such file")


def test_folder_without_pictures_is_named_and_the_others_are_read(
    command, finished, pictures, tmp_path
):
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("nothing to see")
    code, out, err = command("read", tmp_path / "empty", pictures / "more", "--model", finished)
    assert code == 3
    assert out == f"{pictures / 'more' / 'blank.png'}\n  no digits\n"
    assert err == (
        f"digitmlp: {tmp_path / 'empty'}: holds no pictures; give a picture or a folder with some\n"
    )


def test_explanations_are_saved_as_pictures(command, finished, pictures, tmp_path):
    code, _, _ = command(
        "read", pictures / "drawing.png", "--model", finished, "--explain", tmp_path / "seen"
    )
    (saved,) = (tmp_path / "seen").iterdir()
    assert code == 0
    with Image.open(saved) as picture:
        assert picture.width >= 120


def test_explanations_of_long_names_have_shorter_ones(command, finished, pictures, tmp_path):
    long = tmp_path / f"{'ж' * 120}.png"
    shutil.copy(pictures / "drawing.png", long)
    code, _, err = command("read", long, "--model", finished, "--explain", tmp_path / "seen")
    assert (code, err) == (0, "")
    assert [path.name for path in (tmp_path / "seen").iterdir()] == [f"0001-{'ж' * 60}.png"]


def test_single_gives_one_digit_and_no_doubt(command, finished, pictures):
    _, out, _ = command("read", pictures / "drawing.png", "--model", finished, "--single", "--json")
    assert len(json.loads(out)["text"]) == 1
    assert json.loads(out)["text"] != "?"


def test_two_forms_at_once_are_refused(command, finished, pictures):
    code, _, err = command("read", pictures, "--model", finished, "--json", "--csv")
    assert (code, err) == (2, "digitmlp: --json and --csv exclude each other; give one of them\n")


def test_missing_picture_is_named_and_the_others_are_read(command, finished, pictures):
    missing = pictures / "missing.png"
    code, out, err = command("read", missing, pictures / "more", "--model", finished)
    assert code == 3
    assert err == f"digitmlp: {missing}: cannot be read: No such file or directory\n"
    assert "no digits" in out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_picture_out_of_reach_is_named_and_the_others_are_read(
    command, finished, pictures, monkeypatch
):
    locked, is_dir = pictures / "locked" / "a.png", Path.is_dir

    def refused(path: Path) -> bool:
        if path == locked:  # what Python before 3.14 does in a folder that may not be entered
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", refused)
    code, out, err = command("read", locked, pictures / "drawing.png", "--model", finished)
    assert code == 3
    assert err == f"digitmlp: {locked}: cannot be read: No such file or directory\n"
    assert "drawing.png" in out


def test_pipes_and_links_in_a_circle_do_not_stop_it(command, finished, pictures):
    os.mkfifo(pictures / "more" / "pipe.png")
    (pictures / "more" / "circle").symlink_to(pictures)
    code, out, err = command("read", pictures / "more", "--model", finished)
    assert code == 3
    assert out.count("no digits") == 1
    assert err == (f"digitmlp: {pictures / 'more' / 'pipe.png'}: is no file; expected a picture\n")
