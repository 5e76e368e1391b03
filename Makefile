# The tasks of this repository; `make` alone lists them. Everything runs in .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
READY := $(VENV)/.ready
RECIPE ?= laptop
PORT ?= 8080
# Tests marked long run with LONG=1, as in .ci/run, or by folder; those marked rare with LONG=all too.
LEFT_OUT = $(if $(LONG),$(if $(filter all,$(LONG)),,-m 'not rare'),-m 'not long and not rare')
CHOSEN = $(if $(TESTS),$(TESTS),$(LEFT_OUT))

.PHONY: help install system labeling stack stack-stop images demo test lint types imports audit bench weights clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 12

install: $(READY) ## create .venv from the lock, and install the system's libraries

demo: $(READY) ## run the whole pipeline at laptop size and show where its report is
	@$(BIN)/realmat run $(RECIPE)
	@echo
	@echo "Open the report in a browser: $(CURDIR)/runs/$(RECIPE)/report/report.html"
	@echo "Make a material:              $(BIN)/realmat generate 'old red brick wall' -o brick"
	@echo "Look at the runs:             $(BIN)/mlflow ui --backend-store-uri sqlite:///runs/$(RECIPE)/mlflow.db"

test: lint types imports ## check style, types, imports, and run the tests (TESTS=tests/core for a part)
	@.ci/install --services
	@$(if $(LONG)$(TESTS),.ci/install --labeling)
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder $(CHOSEN)
	@$(if $(LONG)$(TESTS),,echo "Left out: long tests, of servers, browsers and nodes (make test LONG=1)")
	@$(if $(filter all,$(LONG))$(TESTS),,echo "Left out: rare tests, each of minutes (make test LONG=all)")

lint: $(READY) ## check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## check types (mypy, strict)
	@$(BIN)/mypy

imports: $(READY) ## check who imports whom
	@$(BIN)/lint-imports

labeling: $(READY) ## start Label Studio on this machine (PORT=8080), to have people judge
	@.ci/install --labeling
	@$(BIN)/python -m labeling.server --port $(PORT)

stack: $(READY) ## start PostgreSQL, S3, MLflow, Label Studio and the app on this machine
	@.ci/install --services
	@.ci/install --labeling
	@$(BIN)/python -m pipelines.stack start

stack-stop: ## end them and remove what they held (KEEP=1 keeps it)
	@$(BIN)/python -m pipelines.stack stop $(if $(KEEP),--keep)

images: ## build the container images with buildah and try each (root; see images/README.md)
	@.ci/install --images
	@images/build app pipeline train

audit: $(READY) ## check the locks against advisories (OSV=all.zip) and the history for secrets
	@$(BIN)/python .ci/leaks.py
	@$(BIN)/python .ci/advisories.py --database "$(or $(OSV),runs/osv/all.zip)" \
	  requirements.lock labeling/requirements.lock manifests/requirements.lock

bench: $(READY) ## measure the library, the renderer, the generator
	@$(BIN)/python -m pytest -o python_files='bench_*.py' -s tests

weights: $(READY) ## train the shipped small models again (hours on a CPU)
	@$(BIN)/python -m components.pretraining all --work runs/pretraining --out components/core/weights

clean: ## remove runs and caches (the virtual environment stays)
	@rm -rf runs build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -type d -prune -exec rm -rf {} +

# The environment is made again when the lock or the project's metadata change. The lock names no
# package index: uv asks the one that pip is configured with.
$(READY): requirements.lock pyproject.toml .ci/install
	@PYTHON=$(PYTHON) .ci/install $(VENV)
	@touch $@

system: ## install the system's libraries alone
	@.ci/install --system
