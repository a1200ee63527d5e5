# `make demo` and `make test` set up all that they need by themselves. Set-up speaks on stderr only.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test lint format lock clean setup servers

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

lint: setup ## style, types, import contracts, and whether the lock is current
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/bandit --quiet --recursive --severity-level high $(PACKAGES)
	@$(BIN)/python .ci/lock.py check

format: setup ## rewrites the code in the house's format
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

lock: setup ## resolves requirements.lock anew from pyproject.toml; ARGS=--upgrade for newer releases
	@$(BIN)/uv pip compile pyproject.toml --extra demo --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header --quiet $(ARGS) --output-file requirements.lock
	@$(BIN)/python .ci/lock.py stamp

clean: ## removes what the other targets made, the environment too
	@rm -rf .venv dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache tests/peers/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@scripts/setup.sh

servers:
	@scripts/servers.sh
