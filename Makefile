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

# What new kernels alone can: verify signatures, take tables of jumps, trace by sessions and many functions at once,
# set one CPU's value; and loader programs, which are to run everywhere. Debian's newest kernel comes from a suite
# where kernels come and go: where it cannot be had, that is said and nothing fails. A machine with one processor,
# of which the kernel believes that more may come, has values for several CPUs.
TESTS_OF_NEW_KERNELS := $(addprefix tests/loader/,gen/signing gen/running gen/proof gen/python/test_attaching.py \
	gen/c/test_header_signed.py attach/test_trace.py attach/test_uprobe.py proof loading/test_load_phase.py \
	runtime/test_programs.py runtime/test_typed_maps.py cli/test_maps.py)
test-vm-newest-if-available: $(STAMP)
	$(BIN)/python -m tests.vm.run newest --if-available --append possible_cpus=3 --seconds 900 -- \
		python -m pytest -m 'kernel and not any_kernel' $(TESTS_OF_NEW_KERNELS)

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
