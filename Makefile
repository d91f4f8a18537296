# Everything here works from a clean checkout with Python 3.11+, bash and make.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help setup run test demo e2e bench fix lock

help:
	@echo "make run    start the gateway: proxy on 127.0.0.1:4000, console on 127.0.0.1:4001"
	@echo "make demo   gateway + built-in model (no key needed) + sample conversations"
	@echo "make test   format, lint, types, import contracts, tests"
	@echo "make e2e    the tests against big third-party parts (Arize Phoenix)"
	@echo "make bench  side by side with nginx (needs nginx and wrk)"
	@echo "make fix    format and mend what can be mended"
	@echo "make lock   pin the dependencies again"

# A stamp per lock file: unchanged pins are not installed again.
$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("spangate needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name one: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) --require-hashes -r requirements/run.lock
	$(PIP) --no-deps --no-build-isolation --editable . 2>/dev/null || { $(PIP) --require-hashes -r requirements/build.lock; $(PIP) --no-deps --no-build-isolation --editable .; }
	@touch $@

$(VENV)/.test: requirements/test.lock $(VENV)/.run
	$(PIP) --require-hashes -r requirements/test.lock
	@touch $@
