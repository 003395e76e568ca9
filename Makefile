# Every target sets up what it needs: Python 3.11, make and a C compiler are enough.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Stamps carry the content they answer to: a changed lock reinstalls, a touched file does not.
digest = $(shell cat $(1) | cksum | cut -d' ' -f1)
RUNTIME := $(VENV)/.runtime-$(call digest,requirements/build.lock requirements/runtime.lock)
DEV := $(VENV)/.dev-$(call digest,requirements/build.lock requirements/dev.lock)
PROJECT := $(VENV)/.project-$(call digest,pyproject.toml)

# pip installs the pinned uv, uv the rest (seconds instead of minutes). uv doesn't read pip's own configuration: where
# that is what leads to the packages, pip takes over.
define install
$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/$(1).lock || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/$(1).lock
endef

# Compiled modules are kept, whatever the caller's environment says (container images often say no): they go where git
# doesn't look, and without them each of the processes that the tests start compiles all its libraries anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-long test-services check mutants bench lock upgrade wheel format clean

help: ## show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

setup: $(DEV) $(PROJECT) ## create .venv with everything pinned and hashed, and the project editable

demo: $(RUNTIME) $(PROJECT) ## the whole loop on real processes: faults in, verified repairs out (under two minutes)
	$(BIN)/homeostat demo

test: setup ## the default suite: embedded parts only, no network beyond loopback
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not long"

test-long: setup ## further seeds and kinds of what `make test` tries a few of
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m long

test-services: setup ## the same checks on real Kafka, Neo4j, Collector and Kubernetes API server
	$(BIN)/python -m tests.services.build
	$(BIN)/pytest tests/services -n 3 --no-loadscope-reorder -m "not timed" --durations=12
	$(BIN)/pytest tests/services -m timed

CHECKS := check-format check-lint check-types check-imports check-locks check-compose check-docs check-names check-hygiene
.PHONY: $(CHECKS)

check: setup ## format, lint, types, import rules, lock files, compose file, generated docs, names, hygiene of tracked files; each also alone
	@$(MAKE) --no-print-directory --keep-going $(CHECKS)

check-format: setup
	$(BIN)/ruff format --check --quiet --diff .

check-lint: setup
	$(BIN)/ruff check .

check-types: setup
	$(BIN)/mypy

check-imports: setup
	@echo "$(BIN)/lint-imports"
	@report=$$($(BIN)/lint-imports --no-logo 2>&1) && echo "$$report" | tail -n 1 || { echo "$$report"; exit 1; }

check-locks: setup
	$(BIN)/python -m tools.locks check

check-compose: setup
	$(BIN)/python -m tools.compose

check-docs: setup
	$(BIN)/python -m tools.docs check

check-names: setup
	$(BIN)/python -m tools.names

check-hygiene: setup
	$(BIN)/python -m tools.hygiene

MUTANTS ?= --seed 1 --count 300
mutants: setup ## small mistakes in the code, and how many of them the tests notice; MUTANTS="--seed 7 --only streams/windows" asks for others
	$(BIN)/python -m tools.mutants $(MUTANTS)

bench: $(RUNTIME) $(PROJECT) ## spans per second, detection tick, decision: printed as ratios against named alternatives
	$(BIN)/homeostat bench

lock: setup ## renew requirements/*.lock after a change in pyproject.toml; pins that still fit stay
	$(BIN)/python -m tools.locks write

upgrade: setup ## renew requirements/*.lock with the newest versions allowed
	$(BIN)/python -m tools.locks write --upgrade

wheel: setup ## build dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

format: setup ## format and mend what can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

clean: ## remove .venv, caches and build output
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is too old: Homeostat needs Python 3.11 or later, set PYTHON" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# What `make setup` installed is a superset of what `make demo` needs.
$(RUNTIME): | $(BIN)/python
	@echo "installing the pinned runtime into $(VENV)"
	@$(call install,runtime)
	@rm -f $(VENV)/.runtime-* && touch $@

$(DEV): | $(BIN)/python
	@echo "installing the pinned runtime and development tools into $(VENV)"
	@$(call install,dev)
	@rm -f $(VENV)/.dev-* $(VENV)/.runtime-* && touch $@ $(RUNTIME)

# The checkout itself, editable: again only when pyproject.toml changed (console script, entry points).
$(PROJECT): | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.project-* && touch $@
