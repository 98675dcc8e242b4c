"""The tutorial runs as it stands, on the embedded digits."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.py"

SECTIONS = [
    "Importing libraries",
    "Importing dataset",
    "Train and validation datasets",
    "Reshaping the data to make tensors",
    "Viewing the images",
    "Feeding tensors to data loader",
    "Defining model architecture",
    "Functions for training and evaluation",
    "Training the model over train dataset",
    "Loading the saved model",
    "Prediction",
    "Submission",
    "Better than the beginning",
]


def test_tutorial_has_the_sections_of_the_one_it_follows():
    assert re.findall(r"^# ## (.+)$", TUTORIAL.read_text(encoding="utf-8"), re.M) == SECTIONS


@pytest.mark.slow
def test_tutorial_runs_and_ends_with_fewer_errors(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "DIGITMLP_KAGGLE"}
    done = subprocess.run(
        [sys.executable, "-W", "error", TUTORIAL],
        cwd=tmp_path,
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1,081 to train on, 271 to validate" in done.stdout
    assert "ImageId,Label\n1,0\n" in done.stdout
    tutorial, fast = map(
        float,
        re.search(r"tutorial: ([\d.]+)%, of the preset fast: ([\d.]+)%", done.stdout).groups(),
    )
    assert fast < tutorial < 5


@pytest.mark.slow
def test_python_of_the_readme_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mine" / "model.onnx").exists()
