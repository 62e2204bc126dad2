# Each target does its own set-up. PYTHON is any Python >= 3.11 with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: demo dev test lint chaos bench lock clean

# make demo ENGINE=spark needs Java 17 or newer.
ENGINE ?= local
demo: $(STAMP) $(if $(filter spark,$(ENGINE)),$(DEV_STAMP))
	$(BIN)/python -m examples.demo --engine $(ENGINE)

dev: $(STAMP)
	$(BIN)/python -m examples.demo --keep-running

test: $(DEV_STAMP)
	$(BIN)/python -m tests.run

lint: $(DEV_STAMP)
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

KILLS ?= 200
chaos: $(DEV_STAMP)
	$(BIN)/python -m tests.chaos --kills $(KILLS)

# The peers want other versions of some libraries than the product does: an environment of their own.
bench:
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install -q -e '.[bench]'
	$(VENV)-bench/bin/python -m benchmarks

lock: $(DEV_STAMP)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --no-header --extra dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --no-emit-index-url --no-header -c requirements-dev.lock --extra demo pyproject.toml -o requirements.lock

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "DataLoader needs Python >= 3.11; call make with PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps -e .
	touch $@

# What the tests need beyond the demo, PySpark and the Databricks clients among it. Java is not needed to install them.
$(DEV_STAMP): $(STAMP) requirements-dev.lock
	$(BIN)/python -m pip install -q -r requirements-dev.lock
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-bench .dataloader .demo .bench dist build
