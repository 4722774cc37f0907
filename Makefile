# `make demo` and `make test` set everything up first; a second call costs nothing.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
CORES := $(shell nproc 2>/dev/null || echo 2)
WORKERS ?= $(shell n=$(CORES); echo $$(( n > 8 ? 8 : n )))
# One thread a test worker: several workers with a pool of threads each would fight for the same cores.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help setup demo test fuzz check bench docs constraints clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: .venv/.installed  ## Make .venv with everything pinned in constraints.txt.

.venv/.installed: pyproject.toml constraints.txt scripts/setup.sh
	@scripts/setup.sh

demo: setup  ## Mass-produce models from real images, then open a report.
	@$(BIN)/trunkline demo

test: setup  ## Run every test; what is skipped is listed at the end with its reason.
	@scripts/system-packages.sh
	@$(TEST_ENV) $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

SECONDS ?= 120
fuzz: setup  ## Fuzz what reads bytes from outside, SECONDS=120 each.
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

check: setup  ## Formatting, lint, types, floors, licences, documentation.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/licences.py
	$(BIN)/python scripts/pages.py --check
	$(BIN)/python scripts/figures.py --check
	$(TEST_ENV) $(BIN)/python -m pytest -q tests/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup  ## Run every benchmark, one JSON object each, into benchmarks/results, and fill the README's table.
	@$(BIN)/python -m benchmarks
	@$(BIN)/python scripts/figures.py

docs: setup  ## Write the generated pages and build the documentation into site/.
	@$(BIN)/python scripts/pages.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html"

constraints: setup  ## Resolve every dependency anew and pin it in constraints.txt.
	@$(BIN)/python scripts/constraints.py

clean:  ## Remove .venv, site and caches; homes with models are not touched.
	@rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
