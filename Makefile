# make run    the main job: train on DATA (or on a rendered sample), score, write submission.csv
# make test   all checks and tests
# make setup  only make and fill .venv
# make bench  Corolla beside its peers on DATA, or on a rendered sample (ROWS= for some of the rows)
# make plans  write the plans of TPUs that tests compare with anew (MODELS=, CHIPS= for some of them)
# make test-extras   the tests that need TensorFlow, KerasHub, Beam, stores' clients and emulators, in environments of their own
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATA   ?=
# what to train on, where to, and for how long: without DATA a rendered sample and the probe alone
ifeq ($(DATA),)
FROM   := runs/sample
ARGS   ?= --epochs 0
else
FROM   := $(DATA)
ARGS   ?= --preset balanced --minutes 20
endif
RUN    ?= runs/$(notdir $(abspath $(FROM)))-run

.PHONY: run test test-extras plans bench setup check clean

setup: $(VENV)/dev.stamp

$(VENV)/run.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and f"Corolla needs Python 3.11 or newer; {sys.executable} is {v}. Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable ".[dev]"
	@touch $@

check: $(VENV)/dev.stamp
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests
	$(BIN)/pyright

test: check
	$(BIN)/python -m pytest -n 2

# the tests that `make test` skips for want of an extra: TensorFlow (several hundred MB), KerasHub, Apache Beam, more
# weights, the clients of gs://, s3://, hf:// and https:// and what stands in for their servers on loopback, kagglehub.
# KerasHub brings TensorFlow. In steps, and Beam by itself: of everything at once pip looks for versions without end
test-extras:
	$(PYTHON) -m venv $(VENV)-extras
	$(VENV)-extras/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[hub,lite1,lite2,remote]"
	$(VENV)-extras/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	$(VENV)-extras/bin/python -m pip install --quiet --disable-pip-version-check "moto[server]>=5" "gcp-storage-emulator>=2024.8"
	$(VENV)-extras/bin/python -m pytest -n 2 tests/models tests/test_backends.py tests/storage tests/test_fetch.py tests/test_remote.py \
	  tests/test_hosts.py tests/build/test_build.py
	$(PYTHON) -m venv $(VENV)-beam
	$(VENV)-beam/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,beam]"
	$(VENV)-beam/bin/python -m pytest -n 2 tests/build/test_build.py

# Corolla beside its peers, which get environments of their own (PyTorch's takes 6 GB); an hour on two quiet cores
bench: $(VENV)/dev.stamp
	@[ -n "$(DATA)" ] || [ -d $(FROM) ] || $(BIN)/corolla sample $(FROM)
	$(BIN)/python bench/compare.py $(if $(DATA),--data "$(DATA)") $(if $(ROWS),--rows $(ROWS))

# the plans that tests compare with, written anew by the compiler of TPUs (an hour on two quiet cores)
PLANS  := tests/golden/plans
MODELS ?= efficientnet_lite0 convnext_tiny
CHIPS  ?= v3-8 v5e-8 v5e-256
plans:
	$(PYTHON) -m venv $(VENV)-plan
	$(VENV)-plan/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,tpu-plan]"
	mkdir -p $(PLANS)
	for model in $(MODELS); do for chips in $(CHIPS); do \
	  JAX_PLATFORMS=cpu $(VENV)-plan/bin/corolla plan --topology $$chips --model $$model --fresh \
	    --out $(PLANS)/$$model-$$chips.json || exit 1; done; done

run: $(VENV)/run.stamp
	@[ -n "$(DATA)" ] || [ -d $(FROM) ] || $(BIN)/corolla sample $(FROM)
	$(BIN)/corolla train "$(FROM)" --out "$(RUN)" $(ARGS)
	$(BIN)/corolla predict "$(RUN)" --data "$(FROM)" --out "$(RUN)/submission.csv"

clean:
	rm -rf $(VENV) $(VENV)-extras $(VENV)-beam $(VENV)-plan $(VENV)-peers build dist
