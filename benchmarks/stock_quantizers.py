"""Stock quantizers on our fp32 artifacts, with their defaults and their own calibration.

Inputs and outputs stay float. The calibration pictures are those of our artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

AT_ONCE = 256

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
    """``quantize_static``."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[dict[str, np.ndarray]] = (dict(feed) for feed in feeds)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    quantize_static(_with_types(source, feeds[0]), out, Reader())


def nncf_on_onnx(source: Path, feeds: Feeds, out: Path) -> None:
    """``nncf.quantize`` on the ONNX graph."""
    import nncf
    import onnx

    model = _with_types(source, feeds[0])
    onnx.save_model(nncf.quantize(model, nncf.Dataset([dict(feed) for feed in feeds])), out)


def _with_types(source: Path, sample: Mapping[str, np.ndarray]) -> Any:
    """The model without shared weights and with all types and shapes stated: both quantizers need that."""
    import onnx

    from elir_edge.formats.onnx.graph import own_tensors, with_outputs
    from elir_edge.formats.onnx.session import open_model

    model = onnx.load_model(source)
    own_tensors(model)
    given = {output.name for output in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name and name not in given]
    del model.graph.value_info[:]
    for i in range(0, len(names), AT_ONCE):
        some = names[i : i + AT_ONCE]
        arrays = open_model(with_outputs(model, some)).run(some, dict(sample))
        model.graph.value_info.extend(
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(some, arrays, strict=True)
        )
    return model


STOCK: dict[str, tuple[str, str, Quantizer]] = {
    "ai-edge-quantizer": ("tflite", "litert", ai_edge_quantizer),
    "NNCF, OpenVINO": ("openvino", "openvino", nncf_on_openvino),
    "quantize_static, ONNX": ("onnx", "onnxruntime", onnxruntime_static),
    "NNCF, ONNX": ("onnx", "onnxruntime", nncf_on_onnx),
}
