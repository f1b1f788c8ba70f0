"""What a .tflite model says of its values: how inputs and outputs are stored, how much memory those between need."""

from __future__ import annotations

import math
from typing import Any

BYTES_OF_TYPE = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1}  # by the schema's TensorType


def quantization(model: Any, name: str) -> tuple[float, int] | None:
    """Scale and zero point of the main graph's tensor ``name``: real = scale * (stored - zero point); None without."""
    stated = next((item.quantization for item in model.subgraphs[0].tensors if item.name == name.encode()), None)
    if stated is None or stated.scale is None or len(stated.scale) != 1:
        return None
    return float(stated.scale[0]), int(stated.zeroPoint[0])


def peak_activation_bytes(model: Any) -> int:
    """The most bytes of values, constants aside, that the main graph needs at one time when run op by op in order."""
    graph = model.subgraphs[0]
    last = {index: step for step, op in enumerate(graph.operators) for index in op.inputs if index >= 0}
    last |= dict.fromkeys(graph.outputs, len(graph.operators))
    alive = sum(_tensor_bytes(graph.tensors[index]) for index in graph.inputs)
    peak = alive
    for step, op in enumerate(graph.operators):
        alive += sum(_tensor_bytes(graph.tensors[index]) for index in op.outputs)
        peak = max(peak, alive)
        done = {index for index in (*op.inputs, *op.outputs) if index >= 0 and last.get(index, step) == step}
        alive -= sum(_tensor_bytes(graph.tensors[index]) for index in done if not _is_constant(model, index))
    return peak


def _is_constant(model: Any, index: int) -> bool:
    data = model.buffers[model.subgraphs[0].tensors[index].buffer].data
    return data is not None and len(data) > 0


def _tensor_bytes(tensor: Any) -> int:
    return math.prod(int(side) for side in tensor.shape) * BYTES_OF_TYPE[tensor.type]
