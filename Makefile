# Two commands do everything on a fresh machine with Python >= 3.11, git and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check format bench deploy lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/pipeline data ## Install, pull the bundled data, run the pipeline, tell what came out
	$(BIN)/ann run

test: $(VENV)/dev data ## Install and run the default tests, a file on each core
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

test-slow: $(VENV)/dev data ## Run the end-to-end tests: both doors, real servers, kills, the built wheel
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

check: $(VENV)/dev ## Lint, type-check, check the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev data ## Measure; the results go to benchmarks/results and docs/benchmarks.md
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.compression
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.page

deploy: $(VENV)/pipeline ## Deploy infra/prefect.yaml to the Prefect server that PREFECT_API_URL names
	$(BIN)/ann deploy

lock: ## Resolve the newest versions that pyproject.toml allows into constraints.txt
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --disable-pip-version-check install --quiet -e '.[dev]'
	{ sed -n '/^#/p' constraints.txt; build/lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.tmp
	mv constraints.tmp constraints.txt
	rm -rf build/lock

clean: ## Remove what the targets made, except data and results
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# pip is handed the lock as constraints: the same versions everywhere, and torch as this machine's pip finds it.
$(VENV)/pipeline: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e '.[pipeline]'
	@touch $@

$(VENV)/dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/pipeline

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(f"ann needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# DVC decides what is missing; asking takes a second.
.PHONY: data
data: | $(VENV)/pipeline
	@test -e .git || { echo "error: this is not a git clone (an unpacked ZIP has no .git): clone the repository" >&2; exit 2; }
	$(BIN)/dvc pull --quiet --remote bundled data.dvc
