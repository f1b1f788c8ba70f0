"""Memory of the activations of a .tflite model."""

from __future__ import annotations

import math
from typing import Any

from elir_edge.formats.tflite.flatmodel import constants_of

BYTES_OF_TYPE = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 9: 1}  # by the schema's TensorType


def peak_activation_bytes(model: Any) -> int:
    """Largest sum of bytes of the activations alive at once, when a graph of the model runs op by op in order."""
    return max(_peak_of(model, graph) for graph in model.subgraphs)


def _peak_of(model: Any, graph: Any) -> int:
    constants = constants_of(model, graph)
    last = {index: step for step, op in enumerate(graph.operators) for index in op.inputs if index >= 0}
    last |= dict.fromkeys(graph.outputs, len(graph.operators))
    alive = sum(_tensor_bytes(graph.tensors[index]) for index in graph.inputs)
    peak = alive
    for step, op in enumerate(graph.operators):
        alive += sum(_tensor_bytes(graph.tensors[index]) for index in op.outputs if index not in constants)
        peak = max(peak, alive)
        done = {int(index) for index in (*op.inputs, *op.outputs) if index >= 0 and last.get(index, step) == step}
        alive -= sum(_tensor_bytes(graph.tensors[index]) for index in done - constants)
    return peak


def _tensor_bytes(tensor: Any) -> int:
    return math.prod(int(side) for side in tensor.shape) * BYTES_OF_TYPE[tensor.type]
