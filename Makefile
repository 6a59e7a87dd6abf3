# Needs Python 3.11 or later, git and make; every target does its own set-up in .venv.
#   make demo            the main job: learn the embedded shop, with a report at the end
#   make test            all tests; ARGS="-k name" narrows them, ARGS="-m 'not slow'" leaves out the slow ones
#   make check           what pre-commit runs: ruff, mypy --strict, layering
#   make bench           speeds of the environments
#   make nano            train the shipped model and its adapters again from nothing
# ARGS are handed on: make demo ARGS="run.seed=1"

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: demo test check format bench nano venv clean
.DEFAULT_GOAL := venv

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or later, got " + sys.version.split()[0] + " as $(PYTHON); name another: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m sage_gym.train env=webshop run=demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layering.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m sage_gym.bench env=webshop $(ARGS)

nano: $(STAMP)
	$(BIN)/python -m policies.nano.train out=runs/nano $(ARGS)
	$(BIN)/python -m policies.nano.adapt env=tools out=runs/nano/adapters $(ARGS)
	$(BIN)/python -m policies.nano.adapt env=database out=runs/nano/adapters $(ARGS)
	$(BIN)/python -m policies.nano.adapt env=terminal out=runs/nano/adapters $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
