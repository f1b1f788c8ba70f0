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
# Files go to the processes in the order of tests/conftest.py, the longest first. Where a process dies the run ends:
# with another one in its place, pytest-xdist 3.8 waits for the lost tests for ever.
SHARED = -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0
READY := .venv/.ready
# Not in the lock: torch, whose build depends on the machine, and what only the extras peers and qnn need.
UNLOCKED := torch coloredlogs humanfriendly ncnn onnxruntime-qnn pnnx portalocker

.PHONY: setup setup-locked lock audit export test test-quick test-campaign lint bench clean

setup: $(READY)

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("elir-edge needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	touch $(READY)

# Only files whose sha256 .ci/hashes.txt states (Linux, x86-64); torch comes from where pip finds its build.
setup-locked:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement .ci/hashes.txt
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[dev]'
	touch $(READY)

lock: $(READY)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-deps --generate-hashes --no-header --no-annotate $(UNLOCKED:%=--unsafe-package %) \
	  .ci/constraints.txt --output-file .ci/hashes.txt

audit: $(READY)
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt 'pip-audit>=2.10'
	$(BIN)/python .ci/audit.py

export: $(READY)
	$(BIN)/elir-edge export --target $(TARGET) --preset $(PRESET) --precision $(PRECISION) $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(SHARED) -m "not campaign"

test-quick: $(READY)
	$(BIN)/python -m pytest $(SHARED) -m "not campaign and not slow"

test-campaign: $(READY)
	$(BIN)/python -m pytest $(SHARED) -m campaign

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
