"""Half-precision weights in TFLite graphs that compute in single precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from elir_edge.formats.tflite.edit import DEQUANTIZE, DEQUANTIZE_VERSION, add_half_constant, add_op, drop_unused
from elir_edge.formats.tflite.flatmodel import FLOAT32

LARGEST = float(np.finfo(np.float16).max)


def halve_weights(model: Any) -> None:
    """Store kernels and other constants of two or more axes as float16, each with a DEQUANTIZE behind it, in place.

    Runtimes compute the DEQUANTIZE once, when they load the model. Activations, vectors (biases, norms) and tensors
    with values beyond the range of float16 stay float32.
    """
    graph = model.subgraphs[0]
    for index, tensor in enumerate(list(graph.tensors)):
        stored = model.buffers[tensor.buffer].data
        if stored is None or tensor.type != FLOAT32 or sum(side > 1 for side in tensor.shape) < 2:
            continue
        values = np.asarray(stored, np.uint8).view(np.float32)
        if np.abs(values).max() <= LARGEST:
            half = add_half_constant(model, index, values.astype(np.float16))
            tensor.buffer = 0
            add_op(model, 0, DEQUANTIZE, DEQUANTIZE_VERSION, half, index)
    drop_unused(model)
