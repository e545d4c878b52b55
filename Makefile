# `make` alone prints what there is. Every target works on a fresh clone: what is missing is installed first.

# On Windows a virtual environment keeps its programs in another folder.
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif

# pyproject.toml, environment.yml and README name the same Pythons; tests/test_house.py holds them together.
RIGHT_PYTHON := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
# PyTorch 2.2 was the last with builds for Intel Macs, and the course needs 2.11.
INTEL_MAC := import platform, sys; sys.exit((sys.platform, platform.machine()) != ("darwin", "x86_64"))

# The first interpreter found that is neither too old nor too new; PYTHON=/path/to/python chooses another.
# It is looked for once, and only by a target that installs.
if_right = $(shell $(1) -c '$(RIGHT_PYTHON)' 2>/dev/null && echo $(1))
ifndef PYTHON
PYTHON = $(eval PYTHON := $(or $(call if_right,python3),$(call if_right,python3.14),$(call if_right,python3.13),\
	$(call if_right,python3.12),$(call if_right,python3.11),$(call if_right,python)))$(PYTHON)
endif

# Two stamps, because a student needs far less than a developer. Each is newer than both lists as long as
# nothing needs to be installed again.
STUDENT := .venv/.installed
DEVELOPER := .venv/.installed-dev
DEVELOPERS_LIST := .[dev,homework]

# A third, because few start a hub. Its proxy is no Python package: npm installs it beside them.
HUB := .venv/.installed-hub
PROXY := configurable-http-proxy@5.3.0

# Where `make release` writes, and where you keep your secret. Git ignores it.
OUT ?= grades

# One thread per worker: with more, workers only wait for each other. Three on two cores, because a worker that
# waits for a browser or for the network leaves its core to another.
WORKERS ?= 3

# The tests start many processes, and each would compile the course again where Python is told to keep nothing.
KEEP_COMPILED := PYTHONDONTWRITEBYTECODE=

# Where a folder with the data stands beside the course, nothing needs to be downloaded.
ifndef COURSE_DATA
ifneq ($(wildcard ../shared/data/.),)
export COURSE_DATA := $(CURDIR)/../shared/data
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab test thorough hub notebooks run site slides handout pages lint bench homework release clean address

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

lab: $(STUDENT)  ## install the course into .venv and open JupyterLab on the first notebook
	$(BIN)/jupyter lab --KernelManager.transport_encryption=auto notebooks/00_start_here.ipynb

test: $(DEVELOPER)  ## run all tests and, with small budgets, all notebooks
	COURSE_FAST=1 OMP_NUM_THREADS=1 $(KEEP_COMPILED) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --nbval-lax tests $(wildcard notebooks/*.ipynb)

thorough: $(DEVELOPER)  ## run the tests with every costly case, which takes an hour
	@COURSE_THOROUGH=1 $(MAKE) test

hub: $(HUB)  ## start a real JupyterHub, let three students work on it, and measure their memory
	COURSE_HUB=1 COURSE_FAST=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -s tests/test_hub.py

notebooks: $(DEVELOPER)  ## run all notebooks in full and save their outputs
	$(BIN)/python notebooks/build.py run

run: $(DEVELOPER)  ## run one notebook in full and save its outputs: make run NB=04
	@test -n "$(NB)" || { echo "Which notebook? For example: make run NB=04"; exit 2; }
	$(BIN)/python notebooks/build.py run $(NB)

site: $(DEVELOPER)  ## build the web site into build/site from the saved notebooks; it needs no network
	$(BIN)/python tools/site/build.py

slides: $(DEVELOPER)  ## write slides into build/slides: make slides [NB=07]; reveal.js comes from npm, once
	$(BIN)/python tools/slides/make.py $(NB)

handout: $(DEVELOPER)  ## print slides with notes, and each chapter, as PDFs into build/handout: make handout [NB=07]
	$(BIN)/python tools/slides/make.py --handout $(NB)

pages: site  ## another name for make site

lint: $(DEVELOPER)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(DEVELOPER)  ## measure the course's code beside its named references: make bench [QUICK=1]
	@set -e; for script in benchmarks/*.py; do \
		echo "== $$script"; $(BIN)/python "$$script" $(if $(filter 1,$(QUICK)),--quick); done

homework: $(DEVELOPER)  ## list the assignments and what to do with them
	@$(BIN)/python -m course_lib.grading list

release: $(DEVELOPER)  ## write students' and instructors' copies, and keys: make release [NB=mixtures] [OUT=grades]
	@for name in $(or $(NB),$$($(BIN)/python -m course_lib.grading list --names)); do \
		$(BIN)/python -m course_lib.grading release $$name --out $(OUT) || exit; done
ifndef NB
	@$(BIN)/python notebooks/student_copies.py $(OUT)/release/students/chapters
endif

clean:  ## remove .venv and all caches (the data in data/ stays)
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis build *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +

address: $(DEVELOPER)  ## write your copy's address everywhere: make address REPO=owner/name
	@test -n "$(REPO)" || { echo "Which repository? For example: make address REPO=owner/name"; exit 2; }
	$(BIN)/python notebooks/build.py address $(REPO)
	@touch $(STUDENT) $(DEVELOPER)  # the address is no reason to install again

# $(call install,LIST): the LIST is `.` for what the notebooks need, or `.[extras]` for more.
define install
	@test -n "$(PYTHON)" || { echo "The course needs Python 3.11, 3.12, 3.13 or 3.14, and none of them was found. Install Python 3.13 from python.org, or name your own: make lab PYTHON=/path/to/python3.13" >&2; exit 1; }
	@"$(PYTHON)" -c '$(RIGHT_PYTHON)' || { echo "The course needs Python 3.11, 3.12, 3.13 or 3.14; $(PYTHON) is $$("$(PYTHON)" -c 'import sys; print(sys.version.split()[0])'). Name another: make lab PYTHON=/path/to/python3.13" >&2; exit 1; }
	@! "$(PYTHON)" -c '$(INTEL_MAC)' || { echo "PyTorch 2.11, which the course needs, has no build for Macs with an Intel processor. Run the course on Colab or Binder (docs/installing.md, \"In the browser\")." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian or Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv .venv
	@$(BIN)/python -c '$(RIGHT_PYTHON)' || { echo "The folder .venv was made by a Python that the course does not run on. Remove it with make clean, then repeat the command." >&2; exit 1; }
	@echo "Installing the course into .venv. The first time this downloads PyTorch and takes some minutes."
	$(BIN)/python -m pip install $(if $(or $(CI),$(wildcard $(BIN)/jupyter*)),-q) -c constraints.txt -e '$(1)'
endef

$(STUDENT): pyproject.toml constraints.txt
	$(call install,.)
	@touch $(STUDENT)

$(DEVELOPER): pyproject.toml constraints.txt
	$(call install,$(DEVELOPERS_LIST))
	@touch $(STUDENT) $(DEVELOPER)

$(HUB): $(DEVELOPER)
	@command -v npm >/dev/null || { echo "The hub's proxy comes from npm, which was not found: install Node.js 20 or newer." >&2; exit 1; }
	$(BIN)/python -m pip install $(if $(CI),,-q) -c constraints.txt -e '.[dev,homework,hub]'
	npm install --silent --no-fund --no-audit --no-save --prefix .venv $(PROXY)
	@touch $(HUB)
