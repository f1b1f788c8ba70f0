"""One soak in a process of its own: ``python -m tests.robustness.soak_worker KIND BACKEND ARTIFACT COUNT``."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from elir_edge.runtime.restore import run_picture
from elir_edge.runtime.session import open_session

SAMPLES = 20


def sample_of(process: psutil.Process) -> dict[str, float]:
    """Resident memory in MB, threads and open descriptors of ``process``."""
    memory = process.memory_info().rss / 1e6
    return {"memory": memory, "threads": process.num_threads(), "descriptors": process.num_fds()}


def infer(backend: str, path: Path, step: Callable[[], None], count: int) -> None:
    """``count`` inferences in one session."""
    with open_session(path, backend) as session:
        side = max(session.inputs[0].shape)
        pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        for _ in range(count):
            run_picture(session, pixels)
            step()


def reopen(backend: str, path: Path, step: Callable[[], None], count: int) -> None:
    """``count`` sessions, each opened, run once and closed."""
    for _ in range(count):
        infer(backend, path, lambda: None, 1)
        step()


KINDS = {"inferences": infer, "opens": reopen}


def main(kind: str, backend: str, path: str, count: int) -> None:
    """Warm up with as many again, at most 50; then say a sample as a line of JSON ``SAMPLES`` times."""
    warm = min(50, count)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if done > warm and (done - warm) % max(1, count // SAMPLES) == 0:
            gc.collect()
            sys.stdout.write(json.dumps(sample_of(psutil.Process())) + "\n")

    KINDS[kind](backend, Path(path), step, warm + count)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
