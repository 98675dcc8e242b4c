# make run     create .venv, install, train on the embedded digits (or DATA=… PRESET=…)
# make test    every test
# make check   format, lint (the Dockerfile too), types, layers
# make bench   speed beside the tutorial's loop and other trainers: DATA=path/to/digit-recognizer.zip
# make bench-serve   the service beside LitServe and BentoML
.PHONY: run test check format docs bench bench-serve bench-pictures clean

PYTHON ?= python3
DATA ?= uci
PRESET ?= fast
BIN := .venv/bin
# Threads that wait sleep, so that tests stay quick where something else computes.
export OMP_WAIT_POLICY ?= PASSIVE
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

run: .venv/train
	$(BIN)/digitmlp train "$(DATA)" --preset "$(PRESET)"

test: .venv/dev
	$(BIN)/python -m pytest

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile
	$(BIN)/python -m pytest -q tests/test_layers.py

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/dev
	$(BIN)/jupytext --to ipynb --output - docs/tutorial.py \
		| $(BIN)/jupyter nbconvert --stdin --execute --to html --output-dir docs --output tutorial

bench:
	@test -f "$(DATA)" || { echo "make bench: needs Kaggle's zip: DATA=path/to/digit-recognizer.zip" >&2; exit 2; }
	$(MAKE) --no-print-directory .venv/dev .venv-bench/peers
	$(BIN)/python benchmarks/bench.py "$(DATA)" $(ARGS)

bench-serve: .venv/dev .venv-bench/peers
	$(BIN)/python benchmarks/serve.py $(ARGS)

bench-pictures: .venv/train
	$(BIN)/python benchmarks/pictures.py "$(FOLDER)" $(if $(MODEL),--model "$(MODEL)")

clean:
	rm -rf .venv build dist docs/*.html

# A file that says what is installed: made again only when the requirements change.
.venv/train .venv/dev: .venv/%: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) --editable ".[$*]"
	touch $@

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The trainers that the benchmark compares with weigh on nobody else.
.venv-bench/peers: benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	touch $@
