# make repro: the whole road on the demo data.  make test: the suite.  Each sets up .venv when it has to.
PYTHON ?= python3
BIN := .venv/bin
export DVC_NO_ANALYTICS := 1
# DVC runs independent stages, and lists them in dvc.lock, in an order that depends on it.
export PYTHONHASHSEED := 0
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test soak lint format bench lock clean

.venv.stamp: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

repro: .venv.stamp
	$(BIN)/python -m pipelines.raw_check
	$(BIN)/dvc repro
	$(BIN)/python -m pipelines.scores

test: .venv.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/parity
	$(BIN)/pytest -q tests/parity

lint: .venv.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

soak: .venv.stamp
	$(BIN)/python -m tests.soak.crash --rounds 50 --seed 1
	$(BIN)/pytest -q -m slow tests/soak tests/pipelines

bench: .venv.stamp
	$(BIN)/python -m tests.benchmarks

lock: .venv.stamp
	(head -n 1 requirements.lock; $(BIN)/pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/+cpu//') > .lock.new
	mv .lock.new requirements.lock

clean:
	rm -rf .venv .venv.stamp data reports dvc.lock .dvc/cache .dvc/tmp
