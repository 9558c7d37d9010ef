# make repro: the whole road on the demo data.  make test: the suite.  make score: scores from a team's shards.  make
# share-check: proves a remote.  Each sets up .venv when it has to.
PYTHON ?= python3
BIN := .venv/bin
export DVC_NO_ANALYTICS := 1
# DVC runs independent stages, and lists them in dvc.lock, in an order that depends on it.
export PYTHONHASHSEED := 0
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro own score share-check test finished prepared blender servers streams soak lint format bench lock clean

# Every file is compared with its hash. setuptools comes first: it builds what has no wheel (antlr4-python3-runtime), and
# pip would fetch it for that without a hash. torch comes by itself, last: requirements.torch says why.
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.venv.stamp: requirements.lock requirements.torch pyproject.toml
	$(PYTHON) -m venv .venv
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > .venv/setuptools.lock
	$(PIP) install --require-hashes --no-deps -r .venv/setuptools.lock
	$(PIP) install --require-hashes --no-deps --no-build-isolation -r requirements.lock
	$(PIP) install -r requirements.torch
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

.venv/test.stamp: .venv.stamp requirements.test
	$(PIP) install --require-hashes --no-deps --no-build-isolation -r requirements.test
	touch $@

repro: .venv.stamp
	$(BIN)/python -m pipelines.raw_check
	$(BIN)/dvc repro
	$(BIN)/python -m pipelines.scores

# From a phone's capture (or the folder that pipelines/own/params.yaml names) to people in scans, and their page: docs/own-scene.md.
own: .venv.stamp
	cd pipelines/own && dvc repro
	@echo "page: reports/own/people.html, catalog: data/own/catalog/index.html"

# In a fresh clone, from the team's remote: fetches what these four stages read and nothing else, and runs them. Files
# are named before stages: the other way round DVC forgets some.
DATASET ?= prox
score: .venv.stamp
	$(BIN)/dvc pull data/bodies/topology.npz data/bodies/SMPL_NEUTRAL.npz data/frames/$(DATASET).parquet \
		reports/frame_counts_$(DATASET).json shards@$(DATASET) scenes@$(DATASET) baseline@$(DATASET) train_sahmr
	$(BIN)/dvc repro --force --single-item predict@$(DATASET) evaluate@$(DATASET) report@$(DATASET) \
		evaluate_$(DATASET)

# Writes a little to a DVC remote, reads it back, compares, removes it: make share-check REMOTE=team
share-check: .venv.stamp
	$(BIN)/python -m catalog.share_check $(REMOTE)

test: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/parity
	$(BIN)/pytest -q tests/parity

# After make repro: what it left in this folder is whole and listed, nothing is to be done again, and its frames in the
# formats of own scenes (nerfstudio, COLMAP, explicit JSON) give what it predicted of them.
finished: .venv/test.stamp
	$(BIN)/pytest -q -m slow tests/test_finished_road.py tests/test_round_trips.py

# From the authors' prepared folders and trained weights to scores, in a repository of its own; and the raw road's scores.
prepared: .venv/test.stamp
	$(BIN)/pytest -q -m slow tests/test_released_weights.py

# Exported meshes opened in Blender. bpy (400 MB) has an environment of its own; wheels of 5.0 are for Python 3.11.
BLENDER ?= .blender/bin/python
.blender/bin/python:
	$(PYTHON) -m venv .blender.new
	.blender.new/bin/pip --disable-pip-version-check --quiet install bpy==5.0.1
	mv .blender.new .blender

blender: .venv/test.stamp $(BLENDER)
	SAHMR_BLENDER=$(BLENDER) $(BIN)/pytest -q -m slow tests/test_blender.py

# What users share, against the real servers and Unix users: SSH, S3, HTTP, one cache for two, pushes, experiments, and a
# fresh clone that scores from a remote.
servers: .venv/test.stamp
	$(BIN)/pytest -q -m slow tests/catalog tests/test_open.py tests/test_team_scores.py tests/pipelines/test_experiments.py

# Trainings killed at random steps, torchrun, and the loader's batches for all numbers of ranks and workers of either kind.
streams: .venv/test.stamp
	$(BIN)/python -m tests.soak.training --rounds 2 --seed 2
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m slow tests/batches tests/contrast \
		tests/training/test_kill_and_shares.py tests/test_share.py tests/pipelines/test_torchrun.py

lint: .venv/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

soak: .venv/test.stamp
	$(BIN)/python -m tests.soak.crash --rounds 50 --seed 1
	$(BIN)/python -m tests.soak.damages --mutations 5000 --seed 1
	$(BIN)/python -m tests.soak.training --rounds 20 --seed 1
	$(BIN)/pytest -q -m slow tests/soak tests/pipelines tests/training tests/test_prox_training.py

bench: .venv/test.stamp
	$(BIN)/python -m tests.benchmarks

# From what is installed in .venv: the same versions, with the hashes of every file of theirs that the index has, for
# other machines too. pip-tools asks the index that pip is configured with.
lock: .venv/test.stamp
	$(PYTHON) -m venv .lock
	.lock/bin/pip --disable-pip-version-check --quiet install pip-tools==7.6.2
	$(BIN)/pip freeze --all --exclude-editable | grep -v '^pip==' | sed 's/+cpu$$//' > .lock/pins.in
	cd .lock && bin/pip-compile --quiet --generate-hashes --strip-extras --unsafe-package torch --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file made.lock pins.in
	$(BIN)/python -m tests.pins .lock/made.lock
	(sed -n '/^#/p' requirements.torch; grep '^torch==' .lock/pins.in) > .lock/new.torch
	mv .lock/new.torch requirements.torch
	rm -r .lock

clean:
	rm -rf .venv .venv.stamp .lock .blender .blender.new data reports dvc.lock pipelines/own/dvc.lock pipelines/own/*/dvc.lock .dvc/cache .dvc/tmp
