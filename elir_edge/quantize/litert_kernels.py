"""Kernels of TFLite graphs before int8: room for biases beside weights that are zero or nearly so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from elir_edge.formats.tflite.edit import add_constant
from elir_edge.formats.tflite.flatmodel import FLOAT32, float_constant, holds_data, op_name, tensor_name
from elir_edge.quantize.bias import least_scales
from elir_edge.quantize.levels import LEVELS

# Places of input, kernel and bias among the inputs of an op, and the axis of the kernel's output channels.
PLACES = {
    "CONV_2D": (0, 1, 2, 0),
    "DEPTHWISE_CONV_2D": (0, 1, 2, 3),
    "FULLY_CONNECTED": (0, 1, 2, 0),
    "TRANSPOSE_CONV": (2, 1, 3, 0),
}


def make_room(model: Any, ranges: Mapping[str, tuple[float, float]], float_tensors: frozenset[str]) -> None:
    """Raise, in place, the largest weight of each channel whose bias would not fit int32 (see ``least_scales``).

    Args:
        model: the object tree of the float file. ranges: of the activations by name.
        float_tensors: names of tensors whose ops stay fp32.

    ai-edge-quantizer derives a channel's scale from its largest weight and cuts the bias off. What this adds to the
    output is far below one of its steps.
    """
    graph = model.subgraphs[0]
    least: dict[tuple[int, int], np.ndarray] = {}
    for op in graph.operators:
        name = op_name(model, op).upper()
        if name in PLACES and tensor_name(model, int(op.outputs[0])) not in float_tensors:
            source, kernel, bias = (_input(op, place) for place in PLACES[name][:3])
            known = ranges.get(tensor_name(model, source))
            if known is not None and _is_stored(model, kernel) and _is_stored(model, bias):
                key, scales = (kernel, PLACES[name][3]), least_scales(float_constant(model, bias), known)
                least[key] = np.maximum(least.get(key, 0.0), scales)
    for (index, axis), scales in least.items():
        raised = _raise(float_constant(model, index), axis, LEVELS * scales)
        if raised is not None:
            own = add_constant(model, index, raised)
            graph.tensors[own].name += b"_raised"  # names are unique
            for op in graph.operators:
                op.inputs = np.array([own if int(i) == index else int(i) for i in op.inputs], np.int32)


def _input(op: Any, place: int) -> int:
    """Index of the tensor that an op reads at ``place``; -1 where it has none there."""
    return int(op.inputs[place]) if place < len(op.inputs) else -1


def _is_stored(model: Any, index: int) -> bool:
    tensor = model.subgraphs[0].tensors[index]
    return index >= 0 and tensor.type == FLOAT32 and holds_data(model.buffers[tensor.buffer])


def _raise(weights: np.ndarray, axis: int, least: np.ndarray) -> np.ndarray | None:
    """``weights`` with no channel's largest magnitude below ``least``; None where none is."""
    rows = np.moveaxis(weights, axis, 0).reshape(len(least), -1).copy()
    places = np.arange(len(rows)), np.abs(rows).argmax(1)
    largest = rows[places]
    low = np.abs(largest) < least
    if not low.any():
        return None
    rows[places] = np.where(low, np.copysign(least, largest), largest)
    shape = np.moveaxis(weights, axis, 0).shape
    return np.ascontiguousarray(np.moveaxis(rows.reshape(shape), 0, axis))
