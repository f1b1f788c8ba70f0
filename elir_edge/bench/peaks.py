"""How fast this machine multiplies matrices: the roof under which a model's GFLOP/s are seen, and a measure of calm.

The products run in a process of their own, a few in every round, so that a slow moment neither lowers the roof nor
goes unseen.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from elir_edge.bench.statistics import relative_spread
from elir_edge.core.child import Answer, Child

SIDE = 1536
ANOTHER = " by onnxruntime"
OPSET, IR_VERSION = 17, 8
REPEATS = 3
ROOF_OF = {"fp32": "fp32", "fp16": "fp32", "bf16": "bf16", "int8": "int8", "mixed": "int8"}


class Peaks:
    """The measuring process. ``best`` is GFLOP/s (GOP/s for int8) by fp32, bf16 and int8: the best of all products.

    Through torch where it is installed, else fp32 alone, through NumPy; fp32 through ONNX Runtime too where it is, as
    torch's product may use half of a processor's width. ``spread`` is the quartile range of the first fp32 product's
    time over the rounds, relative to its median.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._child = Child(f"{__name__}:open_products", {"threads": threads}, "matrix products")
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
            kind = name.removesuffix(ANOTHER)
            self.best[kind] = max(speed, self.best.get(kind, 0.0))

    def close(self) -> None:
        """End the process."""
        self._child.close()


def roof_of(peaks: dict[str, float], arithmetic: str) -> float | None:
    """The peak to hold a row of this arithmetic against: fp16 has fp32's on a CPU, which computes in that."""
    return peaks.get(ROOF_OF.get(arithmetic, ""))


def _products(threads: int | None) -> dict[str, Callable[[], Any]]:
    matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
    other = _by_onnxruntime(matrix, threads)
    return _usual(matrix, threads) | ({"fp32" + ANOTHER: other} if other else {})


def _by_onnxruntime(matrix: np.ndarray, threads: int | None) -> Callable[[], Any] | None:
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, matrix.shape) for name in "xy"]
    node, held = helper.make_node("MatMul", ["x", "w"], ["y"]), numpy_helper.from_array(matrix, "w")
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [held])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would slow the next product
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": matrix})


def _usual(matrix: np.ndarray, threads: int | None) -> dict[str, Callable[[], Any]]:
    try:
        import torch
    except ImportError:
        return {"fp32": lambda: matrix @ matrix}
    if threads:
        torch.set_num_threads(threads)
    single = torch.from_numpy(matrix)
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


def open_products(request: Answer) -> tuple[Answer, Callable[[Answer], Answer]]:
    """In the child: an empty greeting, and what gives the seconds of a few products of each kind."""
    products = _products(request["threads"])
    for run in products.values():
        run()
    return {}, lambda _: {"seconds": {name: [_seconds(run) for _ in range(REPEATS)] for name, run in products.items()}}
