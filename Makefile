# Everything here works from a clean checkout with Python 3.11+, bash and make.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help setup setup-test run demo test e2e bench fix lock

help:
	@echo "make run    start the gateway: proxy on 127.0.0.1:4000, console on 127.0.0.1:4001"
	@echo "make demo   gateway + built-in model (no key needed) + sample conversations"
	@echo "make test   format, lint, types, import contracts, tests"
	@echo "make e2e    the tests against big third-party parts (Arize Phoenix, MLflow, npm packages: needs Node.js)"
	@echo "make bench  side by side with nginx (needs nginx and wrk)"
	@echo "make fix    format, and mend what can be mended"
	@echo "make lock   pin the newest dependencies"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "spangate needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": name another one, as in make PYTHON=python3.12 run")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "spangate needs Python's venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp a lock file: what is pinned and installed already is not looked at again. The locks are complete, so
# nothing is resolved at install (--no-deps): a release that came out after a lock cannot change what it installs.
$(VENV)/.run: requirements/build.lock requirements/run.lock pyproject.toml | $(BIN)/python
	$(PIP) install --no-deps --require-hashes -r requirements/build.lock -r requirements/run.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: requirements/test.lock $(VENV)/.run
	$(PIP) install --no-deps --require-hashes -r requirements/test.lock
	@touch $@

# Stores that tests send to, each in a venv of its own.
.venv-%/.done: requirements/%.lock
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --require-hashes -r $<
	@touch $@

setup: $(VENV)/.run

setup-test: $(VENV)/.test

run: setup
	$(BIN)/spangate run

demo: setup-test
	$(BIN)/spangate demo

test: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not e2e"

e2e: setup-test .venv-phoenix/.done .venv-mlflow/.done
	$(BIN)/python -m pytest -m e2e tests/e2e

bench: setup-test
	$(BIN)/python -m bench

fix: setup-test
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/ruff check .

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv: python3 -m pip install uv" >&2; exit 1; }
	$(LOCK) -o requirements/build.lock requirements/build.in
	$(LOCK) -o requirements/run.lock pyproject.toml
	$(LOCK) --extra test -o requirements/test.lock pyproject.toml
	$(LOCK) -o requirements/phoenix.lock requirements/phoenix.in
	$(LOCK) -o requirements/mlflow.lock requirements/mlflow.in
