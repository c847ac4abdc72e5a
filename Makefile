# Everything a clone needs, with Python (3.11 or newer) and pip only. `make` alone lists the targets.
#
# One virtual environment serves all of them. `make demo` puts the light half in it (no torch, no Ray, no Flower),
# `make test` and `make check` the rest. A stamp file per half repeats the set-up only after pyproject.toml has changed.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# Processes that run tests side by side: one more than cores, since one of them mostly waits for processes that it started.
WORKERS ?= 3

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TESTED_EXTRAS := export,fast,flower,neural,ray,sim,sql,dev
WIRE := fedcredit/wire
SCORING := fedcredit/scoring
KIT ?= dist/kit
FLOWER ?= 1.41
FLOWER_CONTRACTS := tests/clients/test_flower_runtime_contract.py tests/clients/test_site_runner.py \
  tests/server/test_flower_adapter.py tests/server/test_superlink.py

# Nothing that is started from here reports home or installs packages at run time.
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION := 1
export RAY_USAGE_STATS_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-events test-flower bench check mutants audit format proto wheel kit clean

help: ## List the targets
	@echo "Usage: make TARGET [PYTHON=python3.12] [ARGS=...]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Set up (once), then train six institutions' joint scorecard; ARGS are Hydra overrides
	$(BIN)/python -m simulations $(ARGS)

test: $(VENV)/.test ## Set up (once), then run every test that this machine can run; ARGS go to pytest
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope $(ARGS)

test-long: $(VENV)/.test ## As `test`, with the long tests
	$(BIN)/python -m pytest --long $(ARGS)

test-events: $(VENV)/.test ## Ten thousand random schedules of whole jobs; ARGS="--sequences 50000 --seed 2" for others
	$(BIN)/python -m tests.events $(ARGS)

test-flower: $(VENV)/.python ## What we assume of Flower, held against another of its versions; FLOWER=1.42
	$(BIN)/python -m venv $(VENV)/flower-$(FLOWER)
	$(VENV)/flower-$(FLOWER)/bin/python -m pip --disable-pip-version-check install -qq --editable . "flwr==$(FLOWER).*" \
	  pytest pytest-timeout pytest-randomly pytest-xdist hypothesis
	$(VENV)/flower-$(FLOWER)/bin/python -m pytest $(FLOWER_CONTRACTS) -k "not pinned_one" $(ARGS)

check: $(VENV)/.test ## Lint, formatting, types, import law
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

mutants: $(VENV)/.test ## Break each promise of privacy on purpose and see a test notice; ARGS name mutants
	$(BIN)/python -m tests.privacy.mutants $(ARGS)

audit: $(VENV)/.demo ## Attack whole simulated jobs and print what it got; docs/privacy-audit.md explains
	$(BIN)/python -m simulations.audit $(ARGS)

bench: $(VENV)/.test ## All benchmarks in one run, into benches/results.json; ARGS="--light", "masking neural", "--skip utility"
	$(BIN)/python -m benches $(ARGS)

format: $(VENV)/.test ## Rewrite the sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(VENV)/.test ## Regenerate the messages from fedcredit.proto and scoring.proto
	$(BIN)/python -m grpc_tools.protoc -I $(WIRE) --python_out=$(WIRE) --pyi_out=$(WIRE) fedcredit.proto
	$(BIN)/python -m grpc_tools.protoc -I $(SCORING) --python_out=$(SCORING) --pyi_out=$(SCORING) scoring.proto

wheel: $(VENV)/.python ## Build the wheel that an institution installs, and list what is in it
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/python -m zipfile --list "$$(ls -t dist/fedcredit-*.whl | head -n 1)"

kit: $(VENV)/kit/.tools ## Build the node kit that an institution installs offline, into dist/kit; ARGS=--upgrade for newer versions
	$(VENV)/kit/bin/python deploy/build_kit.py --output $(KIT) $(ARGS)

clean: ## Remove the environment, caches and build output; run folders stay
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  "fedcredit needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + \
	  "; run: make PYTHON=/path/to/python3.11 TARGET")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The kit is built with its own tools, apart from what the tests run with.
$(VENV)/kit/.tools: pyproject.toml deploy/tools.txt | $(VENV)/.python
	$(BIN)/python -m venv $(VENV)/kit
	$(VENV)/kit/bin/python -m pip --disable-pip-version-check install -qq -r deploy/tools.txt --editable ".[flower]"
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.python
	@echo "Setting up $(VENV) for the simulations; this happens once."
	$(PIP) install -qq --editable ".[sim]"
	@touch $@

# torch comes first and exactly pinned. Left to the resolver (opacus asks for any torch), pip takes the newest
# release, whose default Linux build pulls gigabytes of CUDA libraries. An exact pin is also satisfied by a CPU build
# of the same release (2.13.0+cpu), which pip prefers wherever its index or --find-links offers one; with torch
# installed, the extras below leave it alone.
$(VENV)/.neural: | $(VENV)/.python
	@echo "Setting up $(VENV) for the neural models; this happens once."
	$(PIP) install -qq torch==2.13.0
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.python $(VENV)/.neural
	@echo "Setting up $(VENV) for the tests; this happens once and takes a few minutes."
	$(PIP) install -qq --editable ".[$(TESTED_EXTRAS)]"
	@touch $@
