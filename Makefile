# Every task of Pismo; `make` lists them. A bare machine needs Python 3.11 or later, git and make: the rest comes here,
# into .tools/ and .venv/, from the lock file.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-builtin-variables --no-print-directory
.DEFAULT_GOAL := help

INSTALLED := .venv/.installed
MEMBERS := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml) sandbox/pyproject.toml stack/pyproject.toml
SOURCES := libs/servicekit/src services/*/src sandbox/src stack/src
GENERATED := libs/contracts/src
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help: ## Show this list
	@printf 'usage: make <task> [NAME=value …]\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: up
up: $(INSTALLED) ## Run everything in the foreground; GATEWAY=2 GENERATION=2 BILLING=2 ANALYTICS=2 run more of one
	@exec .venv/bin/python -m stack up

.PHONY: reset
reset: $(INSTALLED) ## Forget what `make up` keeps between runs (PISMO_HOME, by default .pismo/)
	@exec .venv/bin/python -m stack reset

.PHONY: test
test: $(INSTALLED) ## Run the tests; ARGS='-k letter' chooses, PISMO_TEST_STORES=containers takes the stores from Docker
	@exec .venv/bin/pytest -n 2 --dist loadscope $(ARGS)

.PHONY: lint
lint: $(INSTALLED) protos-check ## Check style, types, import contracts and protos
	ruff check
	ruff format --check
	mypy $(SOURCES) tests
	lint-imports

.PHONY: format
format: $(INSTALLED) ## Format and repair what can be repaired by itself
	ruff check --fix-only
	ruff format
	buf format protos --write

# The path of a proto is the import path of its module, so nothing that protoc writes needs rewriting.
protoc = python -m grpc_tools.protoc --proto_path=protos --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) \
	--mypy_grpc_out=quiet:$(1) $$(cd protos && find pismo -name '*.proto' | sort)

.PHONY: protos
protos: $(INSTALLED) ## Generate the Python of libs/contracts from protos/
	find $(GENERATED) -name '*_pb2*.py*' -delete
	$(call protoc,$(GENERATED))

.PHONY: protos-check
protos-check: $(INSTALLED) ## Check the protos: style, nothing broken since the baseline, generated code up to date
	buf lint protos
	buf format protos --diff --exit-code
	buf breaking protos --against protos/baseline.binpb
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; $(call protoc,"$$fresh"); \
	diff --recursive --brief --exclude=__pycache__ --exclude=py.typed "$$fresh/pismo" $(GENERATED)/pismo \
		|| { echo 'libs/contracts is not what protos/ says: run `make protos` and commit'; exit 1; }

.PHONY: protos-baseline
protos-baseline: $(INSTALLED) ## Take today's protos as what later ones may not break
	buf build protos --output protos/baseline.binpb

# Runs again only when what it reads has changed, or when the interpreter behind .venv has gone.
$(INSTALLED): uv.lock pyproject.toml $(MEMBERS) stack/install.py $(if $(wildcard .venv/bin/python),,FORCE)
	@for python in python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			"$$python" stack/install.py; touch $@; exit; \
		fi; \
	done; \
	echo 'Pismo needs Python 3.11 or later, and there is no such python3 on the PATH' >&2; exit 1

.PHONY: FORCE
FORCE:
