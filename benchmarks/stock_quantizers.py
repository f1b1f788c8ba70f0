"""What the ecosystem's quantizers make of our fp32 artifacts, all at their defaults, each with its own calibration.

Inputs and outputs stay float. Each gets the calibration pictures that ours are calibrated on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Feeds = Sequence[Mapping[str, np.ndarray]]
Quantizer = Callable[[Path, Feeds, Path], None]


def ai_edge_quantizer(source: Path, feeds: Feeds, out: Path) -> None:
    """ai-edge-quantizer's recipe ``static_wi8_ai8``."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe

    task = quantizer.Quantizer(str(source))
    task.load_quantization_recipe(recipe.static_wi8_ai8())
    for edge in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        task.update_quantization_recipe(".*", edge, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE)
    result = task.quantize(task.calibrate({"restore": [dict(feed) for feed in feeds]}))
    result.export_model(str(out), overwrite=True)


def nncf_on_openvino(source: Path, feeds: Feeds, out: Path) -> None:
    """``nncf.quantize`` on the IR."""
    import nncf
    import openvino

    model = openvino.Core().read_model(source)
    quantized = nncf.quantize(model, nncf.Dataset([dict(feed) for feed in feeds]))
    openvino.save_model(quantized, out, compress_to_fp16=False)


def onnxruntime_static(source: Path, feeds: Feeds, out: Path) -> None:
    """``quantize_static``; weights that steps share are copied first, since it refuses one quantized twice."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[dict[str, np.ndarray]] = (dict(feed) for feed in feeds)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    unknown_types = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_static(_with_own_weights(source), out, Reader(), extra_options=unknown_types)


def nncf_on_onnx(source: Path, feeds: Feeds, out: Path) -> None:
    """``nncf.quantize`` on the ONNX graph, shared weights copied."""
    import nncf
    import onnx

    quantized = nncf.quantize(_with_own_weights(source), nncf.Dataset([dict(feed) for feed in feeds]))
    onnx.save_model(quantized, out)


def _with_own_weights(source: Path) -> Any:
    import onnx

    from elir_edge.quantize.onnx_graph import own_tensors

    model = onnx.load_model(source)
    own_tensors(model)
    return model


STOCK: dict[str, tuple[str, str, Quantizer]] = {
    "ai-edge-quantizer": ("tflite", "litert", ai_edge_quantizer),
    "NNCF, OpenVINO": ("openvino", "openvino", nncf_on_openvino),
    "quantize_static, ONNX": ("onnx", "onnxruntime", onnxruntime_static),
    "NNCF, ONNX": ("onnx", "onnxruntime", nncf_on_onnx),
}
