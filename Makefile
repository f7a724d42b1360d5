# Everything that is done here often. `make` alone lists it.
#
#   PYTHON=python3.12 make setup       another interpreter than python3
#   make demo ARGS=--exit              options of the command behind a target
#   make test ARGS='-k lease -x'

VENV         ?= .venv
ARGS         ?=
# Four processes for two cores: many tests wait for leases and processes. One runs the tests of a file, or of an xdist_group; tests/distribution.py says which come first.
PYTEST_FLAGS ?= -n 4 --dist loadgroup --no-loadscope-reorder

BOOTSTRAP    := docker/bootstrap.sh
BUILT_FROM   := pyproject.toml $(BOOTSTRAP)
# bootstrap.sh writes these last: where they are newer than what they were built from, there is nothing to do.
SETUP_STAMP  := $(VENV)/.bootstrap-train-demo
TEST_STAMP   := $(VENV)/.bootstrap-train-demo-test

.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo run test long faults soak fuzz lint format

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(SETUP_STAMP) ## build .venv with everything that a laptop needs

setup-test: $(TEST_STAMP)

demo: $(SETUP_STAMP) ## start the service, fine-tune a model on the example data, leave the service running
	@$(VENV)/bin/tunery demo $(ARGS)

run: $(SETUP_STAMP) ## start the service
	@$(VENV)/bin/tunery up $(ARGS)

long: $(TEST_STAMP) ## further cases of several processes and machines, which make test leaves out
	$(VENV)/bin/pytest $(PYTEST_FLAGS) -m long $(ARGS)

faults: $(TEST_STAMP) ## the whole fault matrix; its results go into docs/reliability.md
	$(VENV)/bin/python -m tests.faults.report $(ARGS)

soak: $(TEST_STAMP) ## processes killed and stopped at random for 20 minutes while jobs run
	$(VENV)/bin/python -m tests.faults.soak $(ARGS)

fuzz: $(TEST_STAMP) ## Schemathesis asks every route all that it can think of, with and without a key
	$(VENV)/bin/python -m tests.contract.fuzz $(ARGS)

test: lint ## lint, then the whole suite
	$(VENV)/bin/pytest $(PYTEST_FLAGS) $(ARGS)

lint: $(TEST_STAMP) ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(TEST_STAMP) ## let ruff rewrite what it can
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

$(SETUP_STAMP): $(BUILT_FROM)
	@$(BOOTSTRAP) $(VENV) train,demo

$(TEST_STAMP): $(SETUP_STAMP) $(BUILT_FROM)
	@$(BOOTSTRAP) $(VENV) train,demo,test
