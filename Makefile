# make demo      install, run the whole line on the bundled digits, say what came out; again: nothing to do
# make test      install, lint, type check, the tests that take minutes
# make test-all  the same and what takes longer: every kill point, whole data sets
# VENV=elsewhere puts the virtual environment elsewhere; PIP_ARGS goes to pip, for an index of one's own
VENV ?= .venv
PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
# test files at once; a file stays whole, since its tests share what they set up
WORKERS ?= 2
BIN := $(VENV)/bin

.PHONY: demo test test-all lint install clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@$(BIN)/visionmill run

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-all: lint
	$(BIN)/python -m pytest -m "not gpu" --timeout 7200 --hypothesis-profile=other $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(VENV)/.installed

# one command resolves torch and torchvision as the pair that they must be
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -e ".[cpu,weights]"
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -e ".[cpu,weights,dev]"
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "visionmill needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
