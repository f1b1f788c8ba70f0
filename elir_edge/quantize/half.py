"""Half-precision weights in ONNX graphs that compute in single precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

LARGEST = float(np.finfo(np.float16).max)


def halve_weights(model: ModelProto) -> None:
    """Store kernels and other constants of two or more axes as float16, each followed by a Cast to float32, in place.

    Runtimes cast once, when they load the model. Activations stay float32, so that no square in a normalization
    overflows. Vectors (biases, norms) stay float32, as do tensors with values beyond the range of float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        if np.abs(values).max() > LARGEST:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"Cast.{name}", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
