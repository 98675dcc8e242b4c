# make run     create .venv, install, train on the embedded digits (or DATA=… PRESET=…)
# make test    every test
# make check   format, lint (the Dockerfile too), types, layers
# make bench   speed beside the tutorial's loop and other trainers: DATA=path/to/digit-recognizer.zip
# make bench-serve   the service beside LitServe and BentoML
# make weights new weights to come with the package, from DATA=…: some five hours on two cores with bfloat16
.PHONY: kaggle run test check format docs bench bench-serve bench-pictures weights clean

PYTHON ?= python3
DATA ?= uci
PRESET ?= fast
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

run: .venv/train
	$(BIN)/digitmlp train "$(DATA)" --preset "$(PRESET)"

# Threads that wait sleep, so that tests stay quick where something else computes.
test: export OMP_WAIT_POLICY ?= PASSIVE
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

kaggle:
	@test -f "$(DATA)" || { echo "make: needs Kaggle's zip: DATA=path/to/digit-recognizer.zip" >&2; exit 2; }

bench: kaggle
	$(MAKE) --no-print-directory .venv/dev .venv-bench/peers
	$(BIN)/python benchmarks/bench.py "$(DATA)" $(ARGS)

bench-serve: .venv/dev .venv-bench/peers
	$(BIN)/python benchmarks/serve.py $(ARGS)

bench-pictures: .venv/train
	$(BIN)/python benchmarks/pictures.py "$(FOLDER)" $(if $(MODEL),--model "$(MODEL)")

# Two networks of `best`, three wider ones that learn from both, three that see images as `compact`
# does and learn from both too, and a committee of these six; `compact` and the tutorial's network,
# which learn from both; predictions in results/. What is there already, by the same settings, is
# kept, and what was stopped goes on. All hold out the same rows.
SPLIT := --split-seed 302
# A third teacher would take a fifth more time, and is no help.
TEACHER := --teacher runs/best-1 --teacher runs/best-2
WIDE := --hidden 2048,1024,1024 --epochs 250
SEEDS := 1 2 3
# As more rows than the run holds out say it (MODEL_CARD.md).
TEMPERATURE := 1.16
weights: kaggle .venv/train
	mkdir -p results
	set -e; for seed in 1 2; do \
		$(BIN)/digitmlp train "$(DATA)" --preset best --seed $$seed $(SPLIT) --resume --out runs/best-$$seed; \
	done; for seed in $(SEEDS); do \
		$(BIN)/digitmlp train "$(DATA)" --preset best $(WIDE) --seed $$seed $(SPLIT) $(TEACHER) --resume --out runs/wide-$$seed; \
		cp runs/wide-$$seed/submission.csv results/best-seed$$seed.csv; \
		$(BIN)/digitmlp train "$(DATA)" --preset compact --outliers 0 --seed $$seed $(SPLIT) $(TEACHER) --resume --out runs/spoiled-$$seed; \
	done
	$(BIN)/digitmlp export $(SEEDS:%=runs/wide-%) $(SEEDS:%=runs/spoiled-%) --out runs/committee.onnx
	$(BIN)/digitmlp predict "$(DATA)" --model runs/committee.onnx --out results/committee.csv
	$(BIN)/digitmlp train "$(DATA)" --preset compact $(SPLIT) $(TEACHER) --also uci --resume --out runs/compact
	$(BIN)/digitmlp export runs/compact --compact --temperature $(TEMPERATURE) --out src/digitmlp/weights.onnx
	$(BIN)/digitmlp train "$(DATA)" --preset best --hidden 512,256 --epochs 160 $(SPLIT) $(TEACHER) --resume --out runs/tutorial-network
	cp runs/tutorial-network/submission.csv results/tutorial-network.csv

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
