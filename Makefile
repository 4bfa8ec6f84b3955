# What a developer does here. `make` lists it. Another Python: `make test PYTHON=python3.12`.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
# Tests run in parallel, one process per CPU; the acceptance tests share their clusters, so they stay in one.
WORKERS ?= auto
PYTEST  := $(BIN)/python -m pytest
TESTS   ?=

.DEFAULT_GOAL := help

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Make .venv with the command .venv/bin/bacalhau and the tools of a developer.

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed, $(PYTHON) is '"$$($(PYTHON) -V 2>&1)"': make install PYTHON=python3.12' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo '$(PYTHON) cannot make a virtual environment: apt-get install python3-venv' >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@
	@echo 'Installed: $(BIN)/bacalhau'

demo: install  ## Run jobs over real data on a small cluster and show the results.
	$(BIN)/python demo/flights.py

serve: install  ## Run one node that is everything, on port 1234, until Ctrl-C.
	$(BIN)/bacalhau serve --orchestrator --compute

test: install  ## Run all tests; says what it leaves out where the machine lacks a part. TESTS=path picks some.
	$(PYTEST) -q --numprocesses $(WORKERS) --dist loadgroup $(TESTS)

check: install  ## Check style, types, import rules and generated pages.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory pages-check

pages-check: install
	@$(BIN)/python -m bacalhau_nats.settings.document | diff -u docs/settings.md - && \
	$(BIN)/python -m bacalhau_nats.messaging.document | diff -u docs/subjects.md - && \
	echo 'docs/settings.md and docs/subjects.md are as generated' || \
	{ echo 'A generated page is old: make pages' >&2; exit 1; }

pages: install  ## Write the generated pages of docs/ anew.
	$(BIN)/python -m bacalhau_nats.settings.document > docs/settings.md
	$(BIN)/python -m bacalhau_nats.messaging.document > docs/subjects.md

bench: install  ## Measure jobs per second and latency, everything included.
	$(BIN)/python -m benchmarks

wasm:  ## Build the example modules anew (needs clang, lld, wasi-libc and wabt).
	$(MAKE) -C wasm

clean:  ## Remove what was built or installed here.
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis tests/servers/ipfs/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help install demo serve test check pages-check pages bench wasm clean
