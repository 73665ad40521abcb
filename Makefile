# What a developer runs. Everything happens in .venv, which is made when it is missing or the lock has changed.

PYTHON ?= python3
LOCK := requirements-dev.lock
VENV := .venv
BIN := $(VENV)/bin
# Names the lock that .venv was made from.
STAMP := $(VENV)/made-from.lock
PIP_OPTIONS := --quiet --quiet --disable-pip-version-check --root-user-action=ignore --no-input
LOCK_OPTIONS := --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11
# More than there are cores: the tests spend most of their time waiting.
TEST_PROCESSES := 4
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help up test lint types bench chaos simulate mutants fuzz lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(STAMP) ## run the whole system in the foreground; Ctrl-C stops it
	@exec $(BIN)/python -m dev.up

# With bytecode: the tests start some hundred processes, which would compile our modules each time.
test: $(STAMP) ## run the tests in parallel; ARGS="-k cart" picks some, ARGS="-n 0" uses one process
	@exec env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadscope $(ARGS)

lint: $(STAMP) ## check style, format and import contracts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports

types: $(STAMP) ## check the types
	@$(BIN)/mypy

bench: $(STAMP) ## measure it against one transaction per reservation; ARGS=--report is the short form
	@exec $(BIN)/python -m loadtest.bench $(ARGS)

simulate: $(STAMP) ## run seeds of the simulation; ARGS="--seed 7 --trace" prints one
	@exec $(BIN)/python -m reliability.simulation $(ARGS)

mutants: $(STAMP) ## seed bugs one at a time and check that a test catches each; ARGS="--only NAME" runs one
	@exec $(BIN)/python -m reliability.mutants $(ARGS)

chaos: $(STAMP) ## inject faults into a system and check the invariants; ARGS="--profile long" takes an hour
	@exec $(BIN)/python -m reliability.chaos $(ARGS)

fuzz: $(STAMP) ## send the gateway 100,000 requests generated from its OpenAPI document
	@exec $(BIN)/python -m reliability.fuzzing $(ARGS)

lock: $(STAMP) ## pin every dependency of pyproject.toml again
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	$(BIN)/python -m venv "$$tools"; "$$tools/bin/pip" install $(PIP_OPTIONS) uv; \
	"$$tools/bin/uv" pip compile $(LOCK_OPTIONS) pyproject.toml --output-file requirements.lock; \
	"$$tools/bin/uv" pip compile $(LOCK_OPTIONS) pyproject.toml --group dev --output-file $(LOCK)

clean: ## remove generated files, including the data of `make up`
	@rm -rf "$$(readlink -m .holdfast)" .holdfast $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): $(LOCK)
	@dev/environment "$(PYTHON)" "$(VENV)" "$(LOCK)" "$@"
