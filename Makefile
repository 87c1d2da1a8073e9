# The one front of the project. `make help` lists the targets.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
OUT ?= .weft/demo
IMAGES ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
N ?= 100
PACKAGES := streams processors models index_sync infra
UPLOADS ?= 500
SEED ?=

.PHONY: help install deps dev demo test chaos fuzz lint fmt bench lock docs clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Weft needs Python 3.11, 3.12 or 3.13 on the PATH (or make PYTHON=/path/to/python)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# uv installs the lock in under a minute; pip does the same, slowly, where uv cannot reach the index. Both compile what they
# install, and we compile our own: a first `weft up` of sources alone takes nearly twice as long, and a folder that cannot be
# written would never get any better.
$(VENV)/.runtime: requirements.lock requirements-bootstrap.lock pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e . \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements-dev.lock \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

deps: $(VENV)/.runtime
dev: $(VENV)/.dev

install: deps ## everything a user needs: .venv, the starter models, Apache Kafka's jars
	@$(BIN)/weft models pull starter
	@$(BIN)/python -m infra.broker fetch

demo: install ## photos in, captions and search answers out (IMAGES=/folder OUT=/folder)
	@$(BIN)/weft demo --out "$(OUT)" $(if $(IMAGES),--images "$(IMAGES)") $(DEMO_ARGS)

# Three processes: much of the suite waits for brokers and sessions. A file stays in one, so that it starts its stack once.
test: install dev ## the whole suite, a real Kafka included
	@$(BIN)/python -m tests.fixtures.s3_servers
	@$(BIN)/python -m tests.fixtures.asyncapi
	@$(BIN)/python -m tests.fixtures.rewritten
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

chaos: install dev ## kill everything N times, and check that nobody can tell (UPLOADS=500 SEED= OUT=)
	@$(BIN)/python -m tests.fixtures.s3_servers
	@$(BIN)/python -m tests.chaos --kills $(N) --uploads $(UPLOADS) $(if $(SEED),--seed $(SEED)) $(if $(filter-out file,$(origin OUT)),--out "$(OUT)")

fuzz: deps dev ## ten thousand hostile cases for each decoder (the nightly form)
	@WEFT_FUZZ_PROFILE=weft-fuzz-nightly $(BIN)/python -m pytest -q --timeout 3600 tests/property/test_decode_hostile.py $(PYTEST_ARGS)

lint: deps dev ## ruff, mypy --strict, the direction of imports, generated documents
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m streams.contract.schemas --check
	@$(BIN)/python -m streams.contract.released
	@$(BIN)/python -m infra.settings --check
	@$(BIN)/python -m infra.metrics_table --check

fmt: dev ## format and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: install dev ## ratios, side by side, into docs/benchmarks.md (AGAINST=COMMIT: beside that commit, ROUNDS=1: some ten minutes)
	@$(BIN)/python -m benchmarks $(if $(AGAINST),--against $(AGAINST) $(if $(ROUNDS),--rounds $(ROUNDS)))

docs: deps ## schemas, AsyncAPI and the tables of settings and metrics, from the code
	@$(BIN)/python -m streams.contract.schemas
	@$(BIN)/python -m infra.settings
	@$(BIN)/python -m infra.metrics_table

lock: ## the three lock files, from pyproject.toml (needs uv)
	uv lock -q
	uv export -q --frozen --no-emit-project --no-header --no-annotate -o requirements.lock --no-default-groups --extra cpu
	uv export -q --frozen --no-emit-project --no-header --no-annotate -o requirements-dev.lock --only-group dev
	uv export -q --frozen --no-emit-project --no-header --no-annotate -o requirements-bootstrap.lock --only-group bootstrap

clean: ## what was built here, but not the caches of the user
	rm -rf $(VENV) .weft runs *.egg-info
