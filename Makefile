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
IMAGES := gateway generation billing analytics sandbox
PYTHON_IMAGE ?= python:3.13-slim
TAG ?= dev
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help: ## Show this list
	@printf 'usage: make <task> [NAME=value …]\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' Makefile

.PHONY: up
up: $(INSTALLED) ## Run everything in the foreground; GATEWAY=2 GENERATION=2 BILLING=2 ANALYTICS=2 run more of one, TLS=1 turns mTLS on
	@exec .venv/bin/python -m stack up

.PHONY: reset
reset: $(INSTALLED) ## Forget what `make up` keeps between runs (PISMO_HOME, by default .pismo/)
	@exec .venv/bin/python -m stack reset

.PHONY: test
test: $(INSTALLED) ## Run the tests; ARGS='-k letter' chooses, PISMO_TEST_STORES=containers takes the stores from Docker
	@exec .venv/bin/pytest -n 2 --dist loadscope $(ARGS)

.PHONY: lint
lint: $(INSTALLED) protos-check ## Check style, types, import contracts, protos and migrations
	ruff check
	ruff format --check
	mypy $(SOURCES) tests
	lint-imports
	hadolint Dockerfile
	squawk $(wildcard services/*/migrations/*.sql)

# A helm of one's own is taken as it is; without one it is built from its pinned source, which takes Go.
HELM_VERSION := v4.3.1
HELM := $(or $(shell command -v helm),.tools/helm-$(HELM_VERSION))

.tools/helm-$(HELM_VERSION):
	@command -v go >/dev/null || { echo 'this needs helm 3.17 or later on the PATH (https://helm.sh/docs/intro/install), or Go to build it' >&2; exit 1; }
	@echo 'building helm $(HELM_VERSION) into .tools (some minutes, once)'
	@GOBIN=$(CURDIR)/.tools/helm-staging CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' helm.sh/helm/v4/cmd/helm@$(HELM_VERSION)
	@mv .tools/helm-staging/helm $@ && rmdir .tools/helm-staging

# What needs the pinned uv after the installation.
UV = $(shell PYTHONPATH=stack .venv/bin/python -c 'import install; print(install.UV)')
# Its packages do not agree with ours, so it has an environment of its own.
CHECKOV = $(UV) tool run --quiet --python .venv/bin/python --from checkov==3.3.30 checkov

.PHONY: deploy-test
deploy-test: $(INSTALLED) $(HELM) ## Render the chart for every values file; check schemas, policies and refusals
	@HELM=$(abspath $(HELM)) CHECKOV='$(CHECKOV)' exec .venv/bin/pytest tests/deploy $(ARGS)

.PHONY: cluster-test
cluster-test: $(INSTALLED) $(HELM) ## On kubectl's current cluster: install, chat, scale, upgrade, kill; takes IMAGE_REGISTRY, IMAGE_TAG, POSTGRES_IMAGE, REDIS_IMAGE
	@HELM=$(abspath $(HELM)) exec .venv/bin/pytest tests/cluster --timeout=1800 -v $(ARGS)

.PHONY: restore-drill
restore-drill: $(INSTALLED) ## Drop the database under a running system, restore it from a backup, audit; says what is lost and for how long. ARGS=--bucket: by S3
	@PYTHONPATH=tests exec .venv/bin/python tests/system/restore_drill.py $(ARGS)

.PHONY: chart-docs
chart-docs: $(INSTALLED) ## Make the chart's schema and the table of its README from values.yaml
	python charts/document_values.py

.PHONY: format
format: $(INSTALLED) ## Format and repair what can be repaired by itself
	ruff check --fix-only
	ruff format
	buf format protos --write

.PHONY: images $(IMAGES:%=image-%)
images: $(IMAGES:%=image-%) ## Build the images pismo/<service>:TAG from PYTHON_IMAGE, with DOCKER_BUILD_FLAGS
$(IMAGES:%=image-%): image-%:
	docker build $(DOCKER_BUILD_FLAGS) --tag pismo/$*:$(TAG) --build-arg SERVICE=$* --build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) \
		--build-arg VERSION=$(TAG) --build-arg REVISION="$$(git describe --always --abbrev=40 --dirty --exclude '*')" \
		--build-arg SOURCE="$$(git remote get-url origin 2>/dev/null | sed 's|//[^/]*@|//|')" .

.PHONY: sbom
sbom: $(INSTALLED) ## Say what each image's Python packages are, in CycloneDX: dist/sbom/<service>.json
	@mkdir -p dist/sbom; for image in $(IMAGES); do \
		packages="--package pismo-$$image"; \
		if [ "$$image" = sandbox ]; then packages+=' --package pismo-stack'; fi; \
		$(UV) export --quiet --frozen --no-dev $$packages --format cyclonedx1.5 --preview-features sbom-export \
			--output-file "dist/sbom/$$image.json" >/dev/null; \
		echo "dist/sbom/$$image.json"; \
	done

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
