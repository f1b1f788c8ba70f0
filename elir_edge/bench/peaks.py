"""Peak speed of matrix products on this machine: the roof for a model's GFLOP/s, and a measure of noise.

The products run in a child process, a few in every round: the fastest gives the roof, their spread the noise.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from elir_edge.bench.statistics import relative_spread
from elir_edge.core.child import Answer, Child

SIDE, PROBE_SIDE = 1536, 256
ANOTHER = " by onnxruntime"
OPSET, IR_VERSION = 17, 8
REPEATS = 3
WORTH = 0.7  # of fp32's speed: torch multiplies types that the processor lacks in a plain loop, 100 times slower
ROOF_OF = {"fp32": "fp32", "fp16": "fp32", "w8a16": "fp32", "bf16": "bf16", "int8": "int8", "mixed": "int8"}


class Peaks:
    """The child that runs matrix products. ``best``: GFLOP/s (GOP/s for int8) of the fastest, by fp32, bf16 and int8.

    Products run in torch if it is installed, else in NumPy (fp32 only); fp32 and int8 in ONNX Runtime too, if it is
    installed, because torch's product may use half of a processor's vector width, or have no kernel. A kind without a
    kernel in either is left out. ``spread``: quartile range / median of the time of the first fp32 product over the
    rounds.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._child = Child(f"{__name__}:open_products", {"threads": threads}, "matrix products")
        self._medians: list[float] = []
        self.best: dict[str, float] = {}

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    @property
    def spread(self) -> float:
        """Quartile range / median; 0 before the second round."""
        return relative_spread(self._medians) if self._medians else 0.0

    def round(self) -> None:
        """Run a few products of each kind. Raises DataError if the child fails."""
        seconds: dict[str, list[float]] = self._child.ask({})["seconds"]
        self._medians.append(statistics.median(seconds["fp32"]))
        for name, samples in seconds.items():
            speed = round(2 * SIDE**3 / min(samples) / 1e9, 1)
            kind = name.removesuffix(ANOTHER)
            self.best[kind] = max(speed, self.best.get(kind, 0.0))

    def close(self) -> None:
        """Kill the child."""
        self._child.close()


def roof_of(peaks: dict[str, float], arithmetic: str) -> float | None:
    """The peak for a row of this arithmetic; for fp16 and w8a16 that of fp32, in which a CPU computes them."""
    return peaks.get(ROOF_OF.get(arithmetic, ""))


def _products(threads: int | None) -> dict[str, Callable[[], Any]]:
    slow = _without_kernel(threads)
    matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
    products = _usual(matrix, threads) | _by_onnxruntime(matrix, threads)
    return {name: run for name, run in products.items() if name not in slow}


def _without_kernel(threads: int | None) -> set[str]:
    """Names of torch's products below ``WORTH`` times the speed of fp32, measured on small matrices."""
    products = _usual(np.ones((PROBE_SIDE, PROBE_SIDE), np.float32), threads)
    seconds = {name: min(_seconds(run) for _ in range(REPEATS)) for name, run in products.items()}
    return {name for name, best in seconds.items() if best * WORTH > seconds["fp32"]}


def _by_onnxruntime(matrix: np.ndarray, threads: int | None) -> dict[str, Callable[[], Any]]:
    small, whole = (matrix * 15).clip(0, 255).astype(np.uint8), (matrix * 15).clip(-63, 63).astype(np.int8)
    try:
        return {
            "fp32" + ANOTHER: _onnx_product(matrix, matrix, threads),
            "int8" + ANOTHER: _onnx_product(small, whole, threads),
        }
    except ImportError:
        return {}


def _onnx_product(given: np.ndarray, held: np.ndarray, threads: int | None) -> Callable[[], Any]:
    """The product of ``given`` with the constant ``held``: float32 of float32, int32 of uint8 and int8."""
    import onnxruntime
    from onnx import helper, numpy_helper

    operator, result = ("MatMul", np.float32) if given.dtype == np.float32 else ("MatMulInteger", np.int32)
    kinds = (helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for kind in (given.dtype, result))
    ends = [helper.make_tensor_value_info(name, kind, given.shape) for name, kind in zip("xy", kinds, strict=True)]
    node, constant = helper.make_node(operator, ["x", "w"], ["y"]), numpy_helper.from_array(held, "w")
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would slow the next product
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": given})


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
    """In the child: an empty greeting, and a function that returns the seconds of a few products of each kind."""
    products = _products(request["threads"])
    for run in products.values():
        run()
    return {}, lambda _: {"seconds": {name: [_seconds(run) for _ in range(REPEATS)] for name, run in products.items()}}
