# make demo: the main job on an embedded catalog. make test: the tests. make check: lint, types, layers.
# Each sets up what it needs in .venv; PYTHON chooses the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The tests wait for disks, servers and locks a third of their time: three workers fill two cores.
WORKERS ?= 3
# The tests start marksweep hundreds of times: it is not to be compiled each time.
unexport PYTHONDONTWRITEBYTECODE
ifeq ($(MAKECMDGOALS),check test)
MAKEFLAGS += --jobs=2 # what the tests need is fetched while the checks run
endif

.PHONY: demo test packages check format schemas reference chaos threats bench clean

# uv does in seconds what takes pip minutes; pip has settings that uv does not know, and goes wherever uv does not.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := $(PIP) uv && $(BIN)/uv pip install --quiet --python $(BIN)/python

$(VENV)/demo.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(UV) -e '.[s3]' || $(PIP) -e '.[s3]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(UV) -e '.[dev]' || $(PIP) -e '.[dev]'
	@touch $@ $(VENV)/demo.stamp

demo: $(VENV)/demo.stamp
	@$(BIN)/marksweep demo

packages: $(VENV)/dev.stamp
	@tests/setup.sh

test: packages | $(filter check,$(MAKECMDGOALS))
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(VENV)/dev.stamp
	$(BIN)/python -m marksweep.report.schemas schemas

reference: $(VENV)/dev.stamp
	$(BIN)/python -m tests.docs.generate_reference docs/reference/cli.md

chaos: $(VENV)/dev.stamp
	$(BIN)/python -m tests.chaos

threats: $(VENV)/dev.stamp
	$(BIN)/python -m tests.threats

bench: $(VENV)/dev.stamp
	$(BIN)/python tests/bench/mark_scale.py
	$(BIN)/python tests/bench/claim_load.py
	$(BIN)/python tests/bench/store_bench.py
	$(BIN)/python tests/bench/plan_bench.py
	$(BIN)/python -m tests.bench.html_bench

clean:
	rm -rf $(VENV) .venv-zenml dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
