# One command on a fresh clone is enough: every target sets up .venv first if that was not done.
#   make export TARGET=tflite [PRESET=nano] [PRECISION=fp32] [ARGS="--io uint8"]
#   make test [WORKERS=2]    files of tests are shared out among so many processes
PYTHON ?= python3
TARGET ?= onnx
PRESET ?= nano
PRECISION ?= fp32
ARGS ?=
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup export test test-quick lint bench clean

setup: $(READY)

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("elir-edge needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	touch $(READY)

export: $(READY)
	$(BIN)/elir-edge export --target $(TARGET) --preset $(PRESET) --precision $(PRECISION) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

test-quick: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks.export_cost
	$(BIN)/elir-edge bench --preset $(PRESET)
	$(BIN)/python -m benchmarks.peers $(PRESET)
	$(BIN)/python -m benchmarks.growth

clean:
	rm -rf .venv build
