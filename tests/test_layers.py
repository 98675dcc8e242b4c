"""Data flows one way: a module imports only from modules before it in this list."""

import re
from pathlib import Path

import pytest

import digitmlp

PACKAGE = Path(digitmlp.__file__).parent
LAYERS = """
    errors interrupt config presets files digits history progress card runfolder
    picture colour components windows detail ruled ink border pieces sheet glyph
    checks csvfile kaggle idx arrays folder uci mnist sources
    metrics recognizer views layout judge cuts segment reading explain
    split strokes hands augment outliers
    products model local gradient adam teacher device train calibrate checkpoint export
    drawing figures report results job begin run fitted estimator
    commands tables
    limits bodies batching telemetry gate apidoc serve server
    cli
""".split()


def imports(name: str) -> set[str]:
    source = (PACKAGE / f"{name}.py").read_text()
    direct = re.findall(r"^\s*from digitmlp\.(\w+) import", source, re.M)
    listed = re.findall(r"^\s*from digitmlp import (\([^)]*\)|.+)$", source, re.M)
    names = re.findall(
        r"(\w+)(?: as \w+)?", " ".join(re.sub(r" as \w+", "", line) for line in listed)
    )
    return {*direct, *names}


def test_every_module_has_its_place():
    found = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert found <= set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_module_imports_only_earlier_layers(name):
    assert imports(name) <= set(LAYERS[: LAYERS.index(name)])


def test_layer_test_sees_imports_of_every_form():
    assert {"files", "config"} <= imports("runfolder")  # from digitmlp import …
    assert "errors" in imports("files")  # from digitmlp.errors import …
    assert "report" in imports("commands")  # inside a function
