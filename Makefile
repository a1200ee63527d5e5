# `make demo` and `make test` set up all that they need by themselves. Set-up speaks on stderr only.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test bench chaos lint format docs lock clean setup servers

BIN := .venv/bin
ARGS ?=
PACKAGES := adapters canonical config deadletter gateway router simulator

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'ARGS="…" is handed on, for example: make demo ARGS="--for 10 --json", make test ARGS="-k mqtt"'

demo: setup ## the simulated company and the hub over real protocols
	@$(BIN)/crossplant demo $(ARGS)

test: setup servers ## every test, against real servers
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

bench: setup servers ## measures beside peers, interleaved; results in bench/results
	@$(BIN)/python -m bench $(ARGS)

chaos: setup servers ## kills the hub 300 times while its peers fail, some 15 minutes; ARGS=--quick for two
	@$(BIN)/python -m tests.chaos $(ARGS)

lint: setup ## style, types, import contracts, and whether locks and reference pages are current
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/bandit --quiet --recursive --severity-level high $(PACKAGES)
	@$(BIN)/python .ci/lock.py check
	@$(BIN)/python .ci/docs.py check

format: setup ## rewrites the code in the house's format
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

docs: setup ## makes docs/reference anew from the code
	@$(BIN)/python .ci/docs.py write

# The image's two locks are cut out of the one that the tests run with: the same releases, fewer of them.
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet

lock: setup ## resolves requirements.lock anew from pyproject.toml; ARGS=--upgrade for newer releases
	@$(COMPILE) pyproject.toml --extra demo --group dev $(ARGS) --output-file requirements.lock
	@rm -f deploy/container/requirements.lock deploy/container/build.lock
	@$(COMPILE) pyproject.toml --constraints requirements.lock --output-file deploy/container/requirements.lock
	@$(COMPILE) --group build --constraints requirements.lock --output-file deploy/container/build.lock
	@$(BIN)/python .ci/lock.py stamp

clean: ## removes what the other targets made, the environment too
	@rm -rf .venv dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache tests/peers/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@scripts/setup.sh

servers:
	@scripts/servers.sh
