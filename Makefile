# Entryphone on one machine. Every target makes what it needs first; a second run finds it there.

# Debian's own Python first: it is built with profile-guided optimisation; one of pyenv can be three times slower.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
VENV := .venv
BIN := $(VENV)/bin
LOCK_HASH := $(shell sha256sum requirements.lock | cut -c1-16)
INSTALLED := $(VENV)/.installed-$(LOCK_HASH)
LAB := $(BIN)/python -m lab
TESTS ?=
PYTEST_OPTIONS ?=

.DEFAULT_GOAL := help
SIZE ?= demo
SEED ?= 1
DATABASE ?=
PARTS ?=
EXAMPLES ?= 40

.PHONY: help town demo test check up down status logs bench lock openapi clean root fuzz

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

demo: $(INSTALLED) ## set everything up, start the stack, play one real call
	@$(LAB) up
	@$(BIN)/python -m lab.demo

test: root ## every test, in network and mount namespaces of its own (TESTS=tests/unit PYTEST_OPTIONS=-x to choose)
	@unshare --net --mount --propagation private sh -c 'ip link set lo up && exec "$$@"' sh \
	    $(BIN)/python -m $(if $(TESTS),pytest $(TESTS),tests) $(PYTEST_OPTIONS)

fuzz: root ## schemathesis against every operation of the API for longer (EXAMPLES=40 of each)
	@ENTRYPHONE_SCHEMATHESIS_EXAMPLES=$(EXAMPLES) $(MAKE) --no-print-directory test TESTS=tests/contract/test_schemathesis.py

check: $(INSTALLED) ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

up: $(INSTALLED) ## start what does not run yet
	@$(LAB) up

down: ## end every process of the lab, also what a crash left, of it, of a bench or of tests
	@if [ -x $(BIN)/python ]; then $(LAB) down; else echo "down: nothing was ever started here"; fi

status: $(INSTALLED) ## each process: running, healthy, and if not, why
	@$(LAB) status

logs: $(INSTALLED) ## print and follow the logs (NAMES="kamailio agi" to choose)
	@$(LAB) logs --follow $(NAMES)

bench: $(INSTALLED) ## load servers of its own and measure them (PARTS="calls mix city crm" to choose, QUICK=1 for a short look)
	@$(BIN)/python -m lab.bench $(PARTS)

town: $(INSTALLED) ## a city from a seed, in bulk (SIZE=demo|district|city, SEED=1, DATABASE=url; the lab's by default)
	@$(BIN)/python -m lab.town.city --size $(SIZE) --seed $(SEED) --database "$(DATABASE)"

openapi: $(INSTALLED) ## write docs/openapi.json anew from what the endpoints declare
	@mkdir -p var && $(BIN)/python -m crm_api.openapi > var/openapi.json && mv var/openapi.json docs/openapi.json

lock: $(INSTALLED) ## write requirements.lock anew from pyproject.toml
	$(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --extra=dev --generate-hashes --no-emit-find-links --no-emit-index-url \
	    --no-emit-trusted-host --output-file=requirements.lock pyproject.toml

clean: ## stop everything, then remove all that make has made here (not the machine-wide cache)
	@if [ -x $(BIN)/python ]; then $(LAB) down --wait; fi
	@rm -rf var/lab var/test-lab var/test-labs var/bench var/bench-lab var/town var/root $(VENV) \
	    .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

root: $(INSTALLED)
	@$(LAB) root

# The stamp carries the hash of the lock file: a changed lock installs again.
$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=..." >&2; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>&-; then \
	    echo "[venv] installing python3-venv with apt"; \
	    apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes python3-venv; fi
	@echo "[venv] installing the locked Python packages into $(VENV) (once, about half a minute)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes \
	    --requirement requirements.lock
	@rm -f $(VENV)/.installed-* && touch $@
