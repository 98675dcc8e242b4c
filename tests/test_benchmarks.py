"""The benchmarks take hours and run by hand: here is seen that what they import is still there."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MODULES = [
    ".".join(path.relative_to(BENCHMARKS).with_suffix("").parts)
    for path in sorted((*BENCHMARKS.glob("*.py"), *BENCHMARKS.glob("rows/*.py")))
]


@pytest.mark.parametrize("name", MODULES)
def test_benchmark_is_imported(name, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    importlib.import_module(name)


def test_what_the_page_asks_is_known_beforehand(recognizer, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    load = importlib.import_module("serve").drawings(recognizer)
    assert len(load.exchanges) > 3
    assert all(b'"text":' in expected for _, expected in load.exchanges)
