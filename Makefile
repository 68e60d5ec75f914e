# The two commands: `make phaser` and `make test`. Both set up everything they need, and cost seconds when it is there.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: phaser test lint bench setup clean
.DELETE_ON_ERROR:

phaser: $(READY)
	$(BIN)/python train.py experiment=phaser

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal  # neighbours compile the same kernels; the kernels' threads would wait for those of the other tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python scripts/benchmark.py

setup: $(READY)

$(READY): pyproject.toml constraints.txt scripts/setup.sh
	PYTHON="$(PYTHON)" sh scripts/setup.sh $(VENV)
	touch $@

clean:
	rm -rf $(VENV)
