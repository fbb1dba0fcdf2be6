PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-partition soak lint format lock clean

demo: $(READY)  ## solve real puzzles with the model in the box
	$(BIN)/chorus think examples/sudoku.txt --json

test: $(READY)  ## run every test; those that hold pauses to a bound have the processors to themselves
	$(BIN)/pytest -n 2 --dist worksteal --ignore tests/mesh/test_partition.py
	$(BIN)/pytest tests/mesh/test_partition.py

test-partition: $(READY)  ## cut hosts off and kill nodes and etcd members, for real (as root; a quarter of an hour)
	@test "$$(id -u)" = 0 || { echo "test-partition makes network namespaces: run it as root" >&2; exit 2; }
	CHORUS_PARTITIONS=all CHORUS_RESULTS=benchmarks/results/mesh_partition.json $(BIN)/pytest tests/mesh/test_partition.py

SCHEDULES ?= 100000
FIRST ?= 0
soak: $(READY)  ## play SCHEDULES simulated meshes from seed FIRST on
	$(BIN)/python -m chorus.mesh.simulation --schedules $(SCHEDULES) --first $(FIRST)

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## mend style in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A fresh environment that holds exactly what requirements.lock names.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

lock:  ## write requirements.lock anew from pyproject.toml's ranges
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet torch==2.13.0
	.venv-lock/bin/pip install --quiet -e '.[dev]' torch==2.13.0
	.venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
