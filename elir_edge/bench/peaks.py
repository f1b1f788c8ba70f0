"""How fast this machine multiplies matrices: the roof under which a model's GFLOP/s are seen, and a measure of calm.

The products run in a process of their own, a few in every round, so that a slow moment neither lowers the roof nor
goes unseen.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from elir_edge.bench.child import Answer, Child, serve
from elir_edge.bench.statistics import relative_spread

SIDE = 1536
REPEATS = 3
ROOF_OF = {"fp32": "fp32", "fp16": "fp32", "bf16": "bf16", "int8": "int8", "mixed": "int8"}
MODULE = "elir_edge.bench.peaks"


class Peaks:
    """The measuring process. ``best`` is GFLOP/s (GOP/s for int8) by fp32, bf16 and int8: the best of all products.

    Through torch where it is installed, else fp32 alone, through NumPy. ``spread`` is the quartile range of the fp32
    product's time over the rounds, relative to its median.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._child = Child(MODULE, {"threads": threads}, "matrix products")
        self._medians: list[float] = []
        self.best: dict[str, float] = {}

    @property
    def pid(self) -> int:
        """The measuring process."""
        return self._child.pid

    @property
    def spread(self) -> float:
        """0 before the second round."""
        return relative_spread(self._medians) if self._medians else 0.0

    def round(self) -> None:
        """A few products of each kind. Raises DataError where the process fails."""
        seconds: dict[str, list[float]] = self._child.ask({})["seconds"]
        self._medians.append(statistics.median(seconds["fp32"]))
        for name, samples in seconds.items():
            speed = round(2 * SIDE**3 / min(samples) / 1e9, 1)
            self.best[name] = max(speed, self.best.get(name, 0.0))

    def close(self) -> None:
        """End the process."""
        self._child.close()


def roof_of(peaks: dict[str, float], arithmetic: str) -> float | None:
    """The peak to hold a row of this arithmetic against: fp16 has fp32's on a CPU, which computes in that."""
    return peaks.get(ROOF_OF.get(arithmetic, ""))


def _products(threads: int | None) -> dict[str, Callable[[], Any]]:
    try:
        import torch
    except ImportError:
        import numpy as np

        matrix = np.ones((SIDE, SIDE), np.float32)
        return {"fp32": lambda: matrix @ matrix}
    if threads:
        torch.set_num_threads(threads)
    single = torch.randn(SIDE, SIDE)
    half, whole = single.bfloat16(), (single * 30).to(torch.int8)
    return {
        "fp32": lambda: single @ single,
        "bf16": lambda: half @ half,
        "int8": lambda: torch._int_mm(whole, whole),
    }


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _open(request: Answer) -> tuple[Answer, Callable[[Answer], Answer]]:
    products = _products(request["threads"])
    for run in products.values():
        run()
    return {}, lambda _: {"seconds": {name: [_seconds(run) for _ in range(REPEATS)] for name, run in products.items()}}


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]), _open)
