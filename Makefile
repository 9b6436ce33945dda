PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo compose-demo image test soak check up down clean help

help:  ## What there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: $(INSTALLED)  ## Start everything, load a catalogue, search, break things, reconcile, stop
	@$(BIN)/lockstep demo

compose-demo: $(INSTALLED)  ## The same on containers: Redpanda, Postgres, Debezium, Qdrant as docker-compose.yml has them
	@$(BIN)/lockstep demo --compose

image:  ## Build the container image lockstep:dev
	@docker build -t lockstep:dev --build-arg REVISION="$$(git rev-parse HEAD)" .

# Two stacks side by side: most of a test's time is waiting. The soak takes longest, and so begins first.
test: check  ## Everything: check, contract, integration, e2e
	@$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder \
		tests/e2e/test_soak.py tests/e2e tests/integration tests/contract

soak: $(INSTALLED)  ## Ten minutes of changes and faults from a random seed, then an audit of every record
	@$(BIN)/lockstep bench soak --minutes 10 --workers 3

check: $(INSTALLED)  ## Format, lint, types, imports, unit tests: under a minute
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q -n 2 tests/unit

up: $(INSTALLED)  ## Leave the stack running, to play with
	@$(BIN)/lockstep up --detach

down: $(INSTALLED)  ## Stop what `make up` started
	@$(BIN)/lockstep down

clean:  ## Remove what is made here: the stack's data, the environment, the caches
	@if [ -x $(BIN)/lockstep ]; then $(BIN)/lockstep down --wipe; fi
	@rm -rf $(VENV) .lockstep .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": run make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	@echo "installing into $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@
