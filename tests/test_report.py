"""The report, built from run folders made by hand, read back with an HTML parser."""

import contextlib
import csv
import json
import re
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from digitmlp import history, metrics, report
from digitmlp.config import AugmentConfig, ModelConfig, TrainConfig
from digitmlp.errors import DataError, DigitmlpError, ModelError
from digitmlp.history import Epoch

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Collects what a page is made of; every tag must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def judged(mistakes=3):
    matrix = np.diag([100] * 10)
    matrix[4, 9] = mistakes - 1
    matrix[4, 1] = 1
    count = int(matrix.sum())
    return {
        "count": count,
        "accuracy": 1000 / count,
        "error": mistakes / count,
        "confidence_interval": list(metrics.wilson(1000, count)),
        "ece": 0.0034,
        "confusion": matrix.tolist(),
        "loss": 0.0123,
    }


def config():
    return {
        "preset": "fast",
        "data": {"name": "folder/digits.zip", "sha256": "ab" * 32, "rows": 5003},
        "model": asdict(ModelConfig(hidden=(64, 32))),
        "training": asdict(TrainConfig(augment=AugmentConfig(rotation=8))),
        "validation_rows": list(range(1003)),
        "device": "cpu",
        "device_name": "A Processor",
        "threads": 2,
        "precision": "float32",
        "versions": {"digitmlp": "0.1.0", "torch": "2.13.0"},
    }


def measured():
    return {
        "validation": judged(),
        "test": None,
        "best_epoch": 2,
        "parameters": 53018,
        "temperature": 1.25,
        "model_sha256": "0f" * 32,
        "seconds": {"read": 0.5, "train": 4.25, "total": 6.5},
    }


def make(folder, config=None, measured=None, epochs=3, suspects=40):
    """Write what `report.build` needs, and all that it shows besides."""
    (folder / "figures").mkdir(parents=True)
    for name in report.FIGURES:
        Image.new("RGB", (60, 40)).save(folder / "figures" / f"{name}.png")
    (folder / "config.json").write_text(json.dumps(config or globals()["config"]()))
    (folder / "metrics.json").write_text(json.dumps(measured or globals()["measured"]()))
    history.write(
        folder / "history.csv",
        [Epoch(n, 1.5, 1e-3, 1 / n, 0.9, 0.5 / n, 0.95) for n in range(1, epochs + 1)],
    )
    with (folder / "suspects.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "label", "prediction", "probability"])
        writer.writerows([[1000 + n, 4, 9, n / 1000] for n in range(suspects)])
    return folder


def page(folder):
    path = report.build(folder)
    assert path == folder / "report.html"
    return Page(path.read_text("utf-8"))


def test_report_shows_the_run(tmp_path):
    text = page(make(tmp_path / "run")).text
    for shown in (
        "99.70% of 1,003 digits read right",
        "3 mistakes, an error of 0.30%",
        "between 99.12% and 99.90%",
        "784–64–32–10, with 53,018 parameters",
        "on 4,000 digits of digits.zip, deformed anew in every epoch; 1,003 more were held out",
        "4 read as 9 (2), 4 read as 1 (1)",
        "A Processor, 2 threads, float32",
        "6.5 s",
        "2.13.0",
        "0f" * 32,
        "rotation",
        "1,014 4 9 1.4%",
        "These are the first 15 of 40 in suspects.csv",
    ):
        assert shown in text
    assert "1,015" not in text
    assert "submission.csv, a row" not in text


def test_report_has_a_table_of_digits_that_agrees_with_the_confusion_matrix(tmp_path):
    text = page(make(tmp_path / "run")).text
    assert "4 103 97.09% 100% 98.52% 9 (2×)" in text
    assert "9 100 100% 98.04% 99.01% –" in text


def test_report_has_every_epoch(tmp_path):
    document = page(make(tmp_path / "run", epochs=800))
    assert "800 0.0013 90.00% 0.0006 95.00% 0.001 1.50" in document.text
    assert [row.get("class") for row in document.all("tr")].count("best") == 1


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("constant", "held out of training and chose the best epoch: 3"),
        ("one-cycle", "held out of training: 3"),
    ],
)
def test_report_says_what_the_validation_digits_chose(tmp_path, schedule, said):
    settings = config()
    settings["training"]["schedule"] = schedule
    assert said in page(make(tmp_path / "run", config=settings)).text


def test_report_names_all_that_was_learned(tmp_path):
    settings = config() | {
        "also": [{"source": "/home/me/own", "sha256": "cd" * 32}],
        "trained_on": 4200,
    }
    text = page(make(tmp_path / "run", config=settings)).text
    assert "on 4,200 digits of digits.zip, own, deformed anew in every epoch" in text


def test_report_says_which_weights_were_averaged(tmp_path):
    settings = config()
    settings["training"] |= {"schedule": "one-cycle", "averaged": 0.5}
    text = page(make(tmp_path / "run", config=settings, epochs=8)).text
    assert "are the mean of those after each of the last 4 epochs; validation measures" in text
    del settings["training"]["averaged"]  # of a run before there was such a setting
    assert "the mean of those" not in page(make(tmp_path / "old", config=settings)).text


def test_test_part_is_the_headline_where_there_is_one(tmp_path):
    document = page(make(tmp_path / "run", measured=measured() | {"test": judged(mistakes=25)}))
    assert "97.56% of 1,025 digits read right" in document.text
    assert "which training never saw: 25 mistakes" in document.text
    assert "Validation accuracy 99.70%" in document.text
    assert "Digit by digit, on the test digits" in document.text


def test_report_leaves_out_what_the_run_lacks(tmp_path):
    folder = make(tmp_path / "run", measured=measured() | {"validation": None})
    history.write(folder / "history.csv", [Epoch(1, 1.5, 1e-3, 0.4, 0.9, None, None)])
    (folder / "suspects.csv").unlink()
    for figure in (folder / "figures").iterdir():
        figure.unlink()
    document = page(folder)
    assert "Trained on 4,000 digits, not measured" in document.text
    assert "1 0.4000 90.00% – – 0.001 1.50" in document.text
    assert document.all("img") == []
    for absent in ("Labels to look at", "Digit by digit", "accuracy 9", "submission.csv, a row"):
        assert absent not in document.text


def test_report_says_whom_a_run_learned_from(tmp_path):
    settings = config()
    settings["model"]["nothing"] = True
    settings["from"] = "/a/runs/first/model.safetensors"
    settings["teacher"] = ["/a/runs/best-1", "/a/runs/best-2"]
    text = page(make(tmp_path / "run", settings)).text
    assert "784–64–32–11, with" in text
    learned = "begun with the weights of first, by the answers of best-1 and best-2; 1,003 more"
    assert learned in text
    assert "training accuracy is agreement with it" in text
    plain = page(make(tmp_path / "plain")).text
    assert "begun with" not in plain
    assert "teacher" not in plain


def test_report_says_where_the_predictions_lie(tmp_path):
    folder = make(tmp_path / "run")
    (folder / "submission.csv").write_text("ImageId,Label\n")
    assert "Predictions for the test part lie in submission.csv" in page(folder).text


def test_report_needs_nothing_but_itself(tmp_path):
    document = page(make(tmp_path / "run"))
    links = [value for _, tag in document.tags for name, value in tag.items() if name in LINKS]
    assert len(links) == 7
    assert all(link.startswith("data:") for link in links)
    assert document.all("script") == []
    assert "url(" not in (tmp_path / "run" / "report.html").read_text("utf-8")
    (policy,) = (tag["content"] for tag in document.all("meta") if "http-equiv" in tag)
    assert "default-src 'none'" in policy


LINKS = {"src", "href", "srcset", "action", "data", "poster"}


def test_report_can_be_read_by_a_screen_reader(tmp_path):
    document = page(make(tmp_path / "run"))
    assert document.all("html") == [{"lang": "en"}]
    assert len(document.all("h1")) == 1
    assert all(image["alt"] and image["width"] == "60" for image in document.all("img"))
    assert len(document.all("img")) == 6
    assert all(cell["scope"] in ("row", "col") for cell in document.all("th"))


def test_text_from_files_cannot_become_part_of_the_page(tmp_path):
    settings = config() | {"device_name": "<script>alert(1)</script>"}
    settings["data"]["name"] = '"><img src=x onerror=alert(1)>.csv'
    document = page(make(tmp_path / "<b> $(run) é", settings))
    assert document.all("script") == []
    assert len(document.all("img")) == 6
    assert '"><img src=x onerror=alert(1)>.csv' in document.text
    assert f"--model '{tmp_path}/<b> $(run) é'" in document.text


def test_report_built_twice_is_the_same(tmp_path):
    folder = make(tmp_path / "run")
    first = report.build(folder).read_bytes()
    assert report.build(folder).read_bytes() == first


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("config.json", None, ModelError, "cannot be read: No such file or directory"),
        ("metrics.json", b'{"validation": ', ModelError, "damaged: "),
        ("metrics.json", b"{}", DataError, "not what a training writes: 'test' is missing; "),
        ("config.json", b'{"model": 1}', DataError, "'training' is missing; "),
        ("history.csv", b"epoch\n", DataError, "not the history of a training: "),
        ("suspects.csv", b"row,label\n", DataError, "columns ['row', 'label'], expected "),
        ("suspects.csv", b"", DataError, "not what a training writes: "),
        ("figures/curves.png", b"GIF89a", DataError, "no PNG picture; train again"),
        ("figures/curves.png", b"\x89PNG\r\n\x1a\n", DataError, "not what a training writes: "),
    ],
)
def test_a_damaged_file_is_named_and_the_old_page_kept(tmp_path, name, content, error, message):
    folder = make(tmp_path / "run")
    old = report.build(folder).read_bytes()
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(error) as caught:
        report.build(folder)
    assert str(caught.value).startswith(f"{folder / name}: ")
    assert message in str(caught.value)
    assert (folder / "report.html").read_bytes() == old


def test_a_missing_setting_is_a_whole_sentence(tmp_path):
    settings = config()
    del settings["data"]["sha256"]
    folder = make(tmp_path / "run", settings)
    with pytest.raises(DataError) as caught:
        report.build(folder)
    assert str(caught.value) == (
        f"{folder / 'config.json'}: not what a training writes: 'sha256' is missing; train again"
    )


@pytest.mark.parametrize("make_values", [config, measured])
@pytest.mark.parametrize("wrong", [None, "x", [], {}, -1.5])
def test_any_wrong_value_gives_a_page_or_a_sentence(tmp_path, make_values, wrong):
    folder = make(tmp_path / "run")
    name = {config: "config.json", measured: "metrics.json"}[make_values]
    for key in make_values():
        (folder / name).write_text(json.dumps(make_values() | {key: wrong}))
        with contextlib.suppress(DigitmlpError):
            report.build(folder)
