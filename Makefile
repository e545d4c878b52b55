# `make` alone prints what there is. Every target works on a fresh clone: what is missing is installed first.

# On Windows a virtual environment keeps its programs in another folder.
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif

# The first interpreter found that is new enough; PYTHON=/path/to/python chooses another.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
INSTALLED := .venv/.installed

# One thread per worker: with more, two workers on two cores only wait for each other.
WORKERS ?= 2

# Where a folder with the data stands beside the course, nothing needs to be downloaded.
ifndef COURSE_DATA
ifneq ($(wildcard ../shared/data/.),)
export COURSE_DATA := $(CURDIR)/../shared/data
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab test notebooks run pages lint bench clean address

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

lab: $(INSTALLED)  ## install the course into .venv and open JupyterLab on the first notebook
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

test: $(INSTALLED)  ## run all tests and, with small budgets, all notebooks
	COURSE_FAST=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --nbval-lax tests $(wildcard notebooks/*.ipynb)

notebooks: $(INSTALLED)  ## run all notebooks in full and save their outputs
	$(BIN)/python notebooks/build.py run

run: $(INSTALLED)  ## run one notebook in full and save its outputs: make run NB=04
	@test -n "$(NB)" || { echo "Which notebook? For example: make run NB=04"; exit 2; }
	$(BIN)/python notebooks/build.py run $(NB)

pages: $(INSTALLED)  ## write all saved notebooks as build/pages/*.html, which need no network
	$(BIN)/python notebooks/build.py pages

lint: $(INSTALLED)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## measure the course's code beside its named references
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean:  ## remove .venv and all caches (the data in data/ stays)
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +

address: $(INSTALLED)  ## write your copy's address everywhere: make address REPO=owner/name
	@test -n "$(REPO)" || { echo "Which repository? For example: make address REPO=owner/name"; exit 2; }
	$(BIN)/python notebooks/build.py address $(REPO)
	@touch $(INSTALLED)  # the address is no reason to install again

# The stamp is newer than both lists as long as nothing needs to be installed again.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "The course needs Python 3.11 or newer, and none was found. Install one from python.org, or name it: make lab PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit("The course needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ". Name another: make lab PYTHON=/path/to/python3.12")'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv .venv
	@echo "Installing the course into .venv. The first time this downloads PyTorch and takes some minutes."
	$(BIN)/python -m pip install $(if $(or $(CI),$(wildcard $(BIN)/jupyter*)),-q) -c constraints.txt -e '.[dev]'
	@touch $@
