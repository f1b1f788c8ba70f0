"""Edits of ONNX graphs that keep the function.

They work on the protobuf: onnx_ir writes more fields back than it read, so every exported file would change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, shape_inference

from elir_edge.formats.walk import upstream_by_stage

CONVOLUTIONS = ("Conv", "ConvTranspose")
IMAGE_AXES = 4


def copy_of(model: ModelProto) -> ModelProto:
    """A deep copy."""
    other = ModelProto()
    other.CopyFrom(model)
    return other


def initializers(model: ModelProto) -> dict[str, TensorProto]:
    """Stored tensors by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def producers(model: ModelProto) -> dict[str, NodeProto]:
    """The node that computes each tensor, by the tensor's name."""
    return {name: node for node in model.graph.node for name in node.output}


def convolutions(model: ModelProto) -> Iterator[NodeProto]:
    """All convolutions, transposed ones included, in the order of execution."""
    return (node for node in model.graph.node if node.op_type in CONVOLUTIONS)


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """The attributes that a node states, by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def add_initializer(model: ModelProto, name: str, values: np.ndarray) -> str:
    """Store ``values`` under ``name``; returns ``name``."""
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def own_tensors(model: ModelProto) -> None:
    """Copy shared weights and biases, so that no two convolutions read the same one; a missing bias becomes zero."""
    stored, taken = initializers(model), set()
    for node in convolutions(model):
        weight = stored[node.input[1]]
        if len(node.input) < 3:
            channels = weight.dims[0 if node.op_type == "Conv" else 1]
            node.input.append(add_initializer(model, f"{node.name}.bias", np.zeros(channels, np.float32)))
        for i in (1, 2):
            name = node.input[i]
            if name in taken:
                node.input[i] = add_initializer(model, f"{name}@{node.name}", numpy_helper.to_array(stored[name]))
            taken.add(name)


def merge_identical(model: ModelProto) -> None:
    """Store tensors of equal type, shape and bytes once, under the name of the first."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    names: dict[str, str] = {}
    for tensor in list(model.graph.initializer):
        key = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        names[tensor.name] = first.setdefault(key, tensor.name)
        if names[tensor.name] != tensor.name:
            model.graph.initializer.remove(tensor)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def drop_unused(model: ModelProto) -> None:
    """Remove stored tensors that no node reads."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def shorten_names(model: ModelProto) -> None:
    """Rename QuantizeLinear and DequantizeLinear nodes, their outputs and their scales to short names.

    Long names are more than a tenth of a small model's size. Kernels and all other nodes and tensors keep their names.
    """
    stored, names = initializers(model), {}
    quantizers = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for i, node in enumerate(quantizers):
        node.name = f"{node.op_type[0]}{i}"
        names[node.output[0]] = f"{node.op_type[0].lower()}{i}"
        parameters = [name for name in node.input if name in stored and len(stored[name].dims) < 2]
        names |= {name: names.get(name, f"p{i}.{k}") for k, name in enumerate(parameters)}
    for output in model.graph.output:
        names.pop(output.name, None)
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in model.graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]


def with_outputs(model: ModelProto, names: Iterable[str]) -> ModelProto:
    """A copy whose only outputs are the tensors called ``names``; ONNX Runtime infers their types."""
    exposed = copy_of(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(ValueInfoProto(name=name) for name in names)
    return exposed


def nodes_by_stage(model: ModelProto, stages: Iterable[str]) -> dict[str, set[str]]:
    """Names of the nodes that compute each of ``stages`` and none before it.

    ``stages`` are names of tensors, in the order of execution.
    """
    made = producers(model)
    nodes = {node.name: node for node in model.graph.node}

    def sources(name: str) -> list[str]:
        return [made[tensor].name for tensor in nodes[name].input if tensor in made]

    return upstream_by_stage({stage: made[stage].name for stage in stages}, sources)


def nodes_with_kernels(model: ModelProto, modules: Collection[str]) -> frozenset[str]:
    """Names of the convolutions whose kernels are those of ``modules``, names in the lowered network."""
    kernels = {f"{name}.weight" for name in modules}
    return frozenset(node.name for node in convolutions(model) if node.input[1] in kernels)


def largest_sums(model: ModelProto, nodes: Collection[str]) -> set[str]:
    """The tensors that an Add among ``nodes``, names, computes from two activations, of the largest height.

    Empty where the heights cannot be inferred.
    """
    made = producers(model)
    sums = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Add" and node.name in nodes and all(name in made for name in node.input)
    ]
    inferred = shape_inference.infer_shapes(model).graph
    heights = {
        value.name: value.type.tensor_type.shape.dim[2].dim_value
        for value in inferred.value_info
        if value.name in sums and len(value.type.tensor_type.shape.dim) == IMAGE_AXES
    }
    return {name for name, height in heights.items() if height == max(heights.values())}
