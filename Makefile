# Each target makes a virtual environment and installs what it needs when absent. What is imported is compiled then: to
# compile all of what is installed takes half of the time of an installation.
VENV ?= .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := $(VENV)/Scripts
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.installed

# A virtual environment whose Python is gone or was replaced is made anew; no other folder is ever cleared.
ifneq ($(shell ($(BIN)/python -c "import pip; print('works')") 2>/dev/null),works)
.PHONY: $(STAMP)
CLEAR := $(if $(wildcard $(VENV)/pyvenv.cfg),--clear)
endif

.PHONY: setup check test fuzz demo bench

setup: $(STAMP)

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(CLEAR) $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -e ".[dev]"
	@touch $(STAMP)

check: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# In parallel, a process for each core; ARGS="-n 0" runs all in one, ARGS='-m "not slow"' the quick ones alone.
test: setup
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

# Damaged files of every kind for so many seconds; what is read wrongly is kept in fuzz/.
fuzz: SECONDS ?= 600
fuzz: setup
	$(BIN)/python -m tests.fuzz.runner --seconds $(SECONDS) $(ARGS)

demo: setup
	$(BIN)/python -m tracker demo --output demo --overwrite

bench: setup
	$(BIN)/python -m tracker bench $(ARGS)
