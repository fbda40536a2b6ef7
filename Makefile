# The commands of this project. Each sets up .venv by itself; all it needs is Python 3.11 or newer.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.PHONY: demo test test-vm nightly bench lint format clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/python -m pytest

# The loader's tests that need a kernel, in a virtual machine with another one than the running:
#     make test-vm KERNEL=6.1 TESTS=tests/loader/loading/test_load.py
KERNEL ?= 6.12
TESTS ?= tests/loader
test-vm: test-vm-$(KERNEL)

test-vm-%: $(STAMP)
	$(BIN)/python -m tests.vm.run $* --seconds 1800 -- python -m pytest -m 'kernel and not any_kernel' $(TESTS)

# What finds more the longer it looks: hostile objects by the hundred thousand, other examples of the properties.
nightly: $(STAMP)
	$(BIN)/python -m tests.loader.hostile --cases 100000 --seed $$(date +%Y%m%d)
	$(BIN)/python -m pytest --hypothesis-profile=thorough

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m bench.assemble
	$(BIN)/python -m bench.compiled
	$(BIN)/python -m bench.startup
	$(BIN)/python -m bench.link
	$(BIN)/python -m bench.load
	$(BIN)/python -m bench.maps
	$(BIN)/python -m bench.gen

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -qq --retries 10 --upgrade pip
	$(BIN)/pip install -qq --retries 10 --editable . --group dev
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
