"""The command line as a program: what it imports, its exit codes, sentences and streams."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from conftest import make_digits
from training import models

from digitmlp import cli, commands, recognizer, run

PROGRAM = [sys.executable, "-m", "digitmlp"]
NAMES = sorted(typer.main.get_command(cli.app).commands)
posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")


def program(*arguments: object) -> subprocess.CompletedProcess:
    """Run the program to its end in a process of its own."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def shell(line: str) -> subprocess.CompletedProcess:
    """Run a line in bash, with Python's output collected before it is written, as by default."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, env=env
    )


BLOCKED = """
import json, sys

EXTRA = {"torch", "sklearn", "matplotlib", "safetensors", "onnx", "jinja2"}

class Blocked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in EXTRA:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked)
import digitmlp
from digitmlp import cli

codes = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["digitmlp", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        codes.append(end.code)
print(json.dumps(codes))
"""


def without_training_packages(*calls: list) -> subprocess.CompletedProcess:
    """Run commands where nothing of the extra `train` can be imported."""
    calls = json.dumps([[str(part) for part in call] for call in calls])
    return subprocess.run(
        [sys.executable, "-c", BLOCKED, calls], capture_output=True, text=True, check=False
    )


def test_help_and_prediction_need_nothing_of_the_extra_train(finished, kaggle, tmp_path):
    out = tmp_path / "out.csv"
    calls = [
        ["--version"],
        ["--help"],
        *([name, "--help"] for name in NAMES),
        ["predict", kaggle, "--model", finished, "--out", out],
        ["evaluate", kaggle, "--model", finished],
        ["runs", finished.parent],
        ["export", finished, "--out", tmp_path / "model.onnx"],
    ]
    done = without_training_packages(*calls)
    assert json.loads(done.stdout.splitlines()[-1]) == [0] * len(calls), done.stdout + done.stderr
    assert out.read_bytes() == (finished / "submission.csv").read_bytes()


@pytest.mark.parametrize("name", ["import digitmlp", "import digitmlp.cli"])
def test_import_alone_costs_little(name):
    heavy = "{'torch', 'sklearn', 'matplotlib', 'onnxruntime', 'numpy', 'PIL'}"
    code = f"{name}, sys; print(sorted(set(sys.modules) & {heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_training_without_its_packages_says_how_to_install_them(tmp_path):
    done = without_training_packages(["train", "uci", "--out", tmp_path / "run"])
    assert json.loads(done.stdout) == [1]
    assert done.stderr == (
        "digitmlp: this needs the package torch, which is not installed: "
        "run  pip install 'digitmlp[train]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_help_of_every_command_gives_an_example(command, name):
    code, out, err = command(name, "--help")
    assert (code, err) == (0, "")
    assert f"digitmlp {name}" in out.partition("Example:")[2]


def test_version_is_that_of_the_package(command):
    code, out, _ = command("--version")
    assert code == 0
    assert re.fullmatch(r"digitmlp \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--preset", "slow"], "preset must be one of tutorial, fast, best, compact, got 'slow'"),
        (["--epochs", 0], "epochs must be at least 1, got 0"),
        (["--batch-size", 0], "batch_size must be at least 1, got 0"),
        (["--hidden", "abc"], "hidden must be widths such as 512,256, got 'abc'"),
        (["--hidden", ""], "hidden must be widths such as 512,256, got ''"),
        (["--hidden", "16,0"], "hidden must be at least 1, got 0"),
        (["--members", 0], "members must be at least 1, got 0"),
        (["--seed", -1], "seed must be at least 0, got -1"),
        (["--seed", 2**32], "seed must be below 2**32, got 4294967296"),
        (["--validation", 1.5], "validation must be at least 0 and below 1, got 1.5"),
        (["--validation", "nan"], "validation must be at least 0 and below 1, got nan"),
        (["--learning-rate", 0], "learning_rate must be above 0, got 0.0"),
        (["--learning-rate", "inf"], "learning_rate must be above 0, got inf"),
        (["--resume"], "--resume needs --out with the run folder to go on with"),
    ],
)
def test_impossible_settings_are_wrong_usage(command, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    assert command("train", "missing.csv", *options) == (2, "", f"digitmlp: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_device_that_is_not_there_is_wrong_usage(command, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert command("train", "missing.csv", "--device", "cuda", "--out", tmp_path / "run") == (
        2,
        "",
        "digitmlp: device cuda is not to be had here; found: cpu\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["train", "--device", "tpu"], "--device"),
        (["train", "--epochs", "many"], "--epochs"),
        (["train", "--threads", "0"], "--threads"),
        (["train", "--no-such-option"], "--no-such-option"),
        (["predict", "x.csv"], "--out"),
        (["evaluate"], "DATA"),
        (["fly"], "fly"),
    ],
)
def test_wrong_words_are_wrong_usage_and_named(command, arguments, word):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert word in err.partition("Error")[2]


@pytest.mark.parametrize("data", ["", "nowhere.csv", "nowhere"])
def test_missing_data_is_named(command, tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    code, out, err = command("train", data)
    assert (code, out) == (3, "")
    assert err.startswith(f"digitmlp: {data or repr(data)}: there is no such file or folder; ")
    assert not list(Path("runs").iterdir())


@pytest.mark.parametrize("place", ["before", "after"])
def test_threads_may_stand_before_and_after_the_command(
    command, finished, kaggle, tmp_path, monkeypatch, place
):
    asked = []
    load = recognizer.load
    monkeypatch.setattr(
        recognizer, "load", lambda model, threads: asked.append(threads) or load(model)
    )
    monkeypatch.setattr(run, "choose_device", lambda _: 1 / 0)  # ends the training early
    threads = ["--threads", 3]
    for words in (
        ["evaluate", kaggle, "--model", finished],
        ["predict", kaggle, "--model", finished, "--out", tmp_path / "out.csv"],
    ):
        arguments = [*threads, *words] if place == "before" else [*words, *threads]
        assert command(*arguments)[0] == 0
    assert asked == [3, 3]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory"),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)
def test_lack_of_memory_is_a_sentence(command, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(commands, "evaluate", fail)
    assert command("evaluate", "x.csv") == (
        1,
        "",
        "digitmlp: out of memory; give less data, a smaller network, or more memory\n",
    )


def test_other_errors_of_memory_are_not_lack_of_it(command, monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(commands, "evaluate", fail)
    with pytest.raises(RuntimeError):
        command("evaluate", "x.csv")


def test_network_too_large_for_memory_is_a_sentence(command, kaggle, tmp_path):
    code, out, err = command(
        "train", kaggle, "--hidden", 10**12, "--out", tmp_path / "run", "--epochs", 1
    )
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "digitmlp: out of memory; give less data, a smaller network, or more memory"
    )
    assert list(tmp_path.iterdir()) == []


def test_unforeseen_errors_keep_their_traceback(command, monkeypatch):
    def fail(*_):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(commands, "evaluate", fail)
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        cli_main(monkeypatch, "evaluate", "x.csv")


def cli_main(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["digitmlp", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    cli.main()


@posix
@pytest.mark.parametrize(
    ("redirection", "code", "err"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ("> /dev/full", 1, "digitmlp: output: No space left on device\n"),
        ("| true; exit ${PIPESTATUS[0]}", 1, ""),
        ("2>&1 | true; exit ${PIPESTATUS[0]}", 1, ""),
    ],
)
def test_output_that_nobody_takes_is_no_traceback(finished, redirection, code, err):
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    done = shell(f"'{sys.executable}' -m digitmlp runs '{finished.parent}' {redirection}")
    assert (done.returncode, done.stderr) == (code, err)


@posix
def test_predictions_go_where_standard_output_goes(finished, kaggle, tmp_path):
    # A link of the test's own: as root the system's might be replaced.
    out, file = tmp_path / "stdout", tmp_path / "predictions.csv"
    out.symlink_to("/dev/fd/1")
    line = f"'{sys.executable}' -m digitmlp predict '{kaggle}' --model '{finished}' --out"
    shell(f"{line} '{file}'")
    expected = file.read_text()
    assert expected.count("\n") == 31
    for redirection in ("| cat", f"> '{file}'; cat '{file}'"):
        done = shell(f"{line} '{out}' {redirection}")
        assert (done.stdout, done.stderr) == (expected, "")
    shell(f"echo before > '{file}'; {line} '{out}' >> '{file}'")
    assert file.read_text() == "before\n" + expected
    done = shell(f"{line} '{out}' | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode in (0, 1), done.stderr) == (True, "")
    assert out.readlink() == Path("/dev/fd/1")


@posix
def test_message_that_nobody_takes_is_no_traceback():
    for redirection in ("2>&-", "2> /dev/full", "2>&1 >&- | true; exit ${PIPESTATUS[0]}"):
        done = shell(f"'{sys.executable}' -m digitmlp runs --wrong {redirection}")
        assert (done.returncode in (1, 2), done.stdout, done.stderr) == (True, "", "")


@posix
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signal_while_data_is_read_ends_with_a_sentence(finished, tmp_path, number, code, word):
    data, out = tmp_path / "test.csv", tmp_path / "out.csv"
    os.mkfifo(data)
    arguments = ["predict", data, "--model", finished, "--out", out]
    with (
        subprocess.Popen(
            [*PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE, text=True
        ) as running,
        data.open("wb") as file,  # waits until it is read
    ):
        file.write(b"label,")
        file.flush()
        err = None
        while err is None:  # Python sleeps through a signal that comes just before it reads
            running.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, err = running.communicate(timeout=3)
    assert (running.returncode, err) == (code, f"digitmlp: {word}\n")
    assert {path.name for path in tmp_path.iterdir()} == {"test.csv"}


@posix
def test_file_larger_than_allowed_keeps_the_old_one(finished, kaggle, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    line = f"ulimit -f 0; exec '{sys.executable}' -m digitmlp predict '{kaggle}'"
    done = subprocess.run(
        ["bash", "-c", f"{line} --model '{finished}' --out '{out}' 2>&1 | cat; exit $PIPESTATUS"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"digitmlp: {out}: cannot be written: File too large\n"
    assert done.returncode == 1
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


WEIRD = {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "HOME": "/nowhere", "TMPDIR": "/nowhere"}
OFFLINE = """
import socket, sys

def refuse(*_):
    raise OSError("there is no network")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from digitmlp.cli import main
main()
"""


@posix
@pytest.mark.parametrize("locale", ["C", "de_DE.ISO-8859-1", "tr_TR.UTF-8"])
def test_prediction_is_the_same_in_any_surroundings(finished, kaggle, tmp_path, locale):
    out = tmp_path / "out.csv"
    arguments = ["predict", kaggle, "--model", finished, "--out", out, "--probabilities"]
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=os.environ | WEIRD | {"LC_ALL": locale},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}\n", "")
    other = tmp_path / "other.csv"
    commands.predict(str(kaggle), finished, other, probabilities=True)
    assert out.read_bytes() == other.read_bytes()


@posix
@pytest.mark.slow
def test_training_is_the_same_in_any_surroundings(finished, kaggle, tmp_path):
    settings = "--preset tutorial --hidden 16 --epochs 5 --batch-size 16 --learning-rate 0.01"
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, "train", kaggle, "--out", out, "--json", *settings.split()],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=os.environ | WEIRD,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((out / "metrics.json").read_text())
    assert "Traceback" not in done.stderr
    assert models(out) == models(finished)
    assert (out / "submission.csv").read_bytes() == (finished / "submission.csv").read_bytes()
    assert (out / "report.html").exists()


@posix
@pytest.mark.slow
def test_interrupted_training_goes_on_where_it_stopped(finished, kaggle, tmp_path):
    settings = "--preset tutorial --hidden 16 --batch-size 16"
    out = tmp_path / "run"
    arguments = ["train", kaggle, "--out", out, *settings.split(), "--epochs", 100_000]
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        while not running.stderr.readline().startswith("epoch      3/100000"):
            pass
        running.send_signal(signal.SIGINT)
        printed, err = running.communicate()
    *_, last = err.splitlines()
    epoch = int(re.search(r"stopped in epoch (\d+) of 100000", last)[1])
    assert last == (
        f"digitmlp: stopped in epoch {epoch} of 100000; "
        f"go on with  digitmlp train --resume --out {out}"
    )
    assert (running.returncode, printed) == (130, "")
    command = last.rpartition("  digitmlp ")[2].split()
    with subprocess.Popen(
        [*PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr.readline().startswith(f"resuming after {epoch - 1} epochs, ")
        running.terminate()
        _, err = running.communicate()
    assert running.returncode == 143
    assert err.splitlines()[-1].endswith(f"go on with  digitmlp train --resume --out {out}")


def test_module_is_the_program():
    done = program("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("digitmlp ")


def test_result_of_training_is_a_table_with_where_things_lie(
    command, kaggle, tmp_path, without_pictures
):
    out = tmp_path / "run"
    code, printed, err = command(
        "train", kaggle, "--preset", "tutorial", "--hidden", 8, "--epochs", 2, "--out", out
    )
    assert code == 0
    for text in ("validation accuracy", "best epoch", str(out / "report.html")):
        assert text in printed
    assert "ImageId,Label  1," in printed
    first, second, *epochs = err.splitlines()
    assert first == f"{kaggle}: 96 × 784 to train on, 24 to validate"
    assert second.startswith("MLP 784-8-10: 6,386 weights, on ")
    assert [line[:9] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    assert len(make_digits(30)) == len((out / "submission.csv").read_text().splitlines()) - 1
