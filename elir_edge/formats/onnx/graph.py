"""Edits of ONNX graphs that keep what they compute: what ONNX Runtime's quantizer needs before, and tidiness after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

CONVOLUTIONS = ("Conv", "ConvTranspose")
PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))


def copy_of(model: ModelProto) -> ModelProto:
    """A deep copy."""
    other = ModelProto()
    other.CopyFrom(model)
    return other


def initializers(model: ModelProto) -> dict[str, TensorProto]:
    """Stored tensors by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def producers(model: ModelProto) -> dict[str, NodeProto]:
    """The node that makes each tensor."""
    return {name: node for node in model.graph.node for name in node.output}


def consumers(model: ModelProto) -> dict[str, list[NodeProto]]:
    """The nodes that read each tensor."""
    found: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def convolutions(model: ModelProto) -> Iterator[NodeProto]:
    """All convolutions, transposed ones too, in the order in which they run."""
    return (node for node in model.graph.node if node.op_type in CONVOLUTIONS)


def add_initializer(model: ModelProto, name: str, values: np.ndarray) -> str:
    """Store ``values``; gives ``name`` back."""
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def own_tensors(model: ModelProto) -> None:
    """Give every convolution a weight and a bias of its own, the bias zero where it had none."""
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
    """Store tensors of the same type, shape and bytes once, under the first one's name."""
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
    """Forget stored tensors that no node reads."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def shorten_names(model: ModelProto) -> None:
    """Give quantizers, what they make and their parameters short names: of the long ones, a small model has more than
    a tenth of its size. Kernels, nodes that compute and what those make keep theirs.
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
    """A copy whose outputs are the float tensors called ``names``, and nothing else."""
    exposed = copy_of(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return exposed


def split_transposed(
    model: ModelProto, keep: frozenset[str], sizes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Write 4x4 transposed convolutions of stride 2 as four 2x2 convolutions, one for each phase of the output.

    ONNX Runtime has no integer transposed convolution. Needs padding 1 on each side, and the height and width of their
    inputs in ``sizes``; others, and the nodes in ``keep``, stay. Guarantees the same function and as many weights.
    Gives the largest magnitude of each output channel over all four, by the name of each one's kernel: weights that
    lie on the grid of the whole are to stay on it.
    """
    nodes: list[NodeProto] = []
    largest: dict[str, np.ndarray] = {}
    for node in model.graph.node:
        splits = node.name not in keep and _is_doubling(node)
        if splits:
            weight = numpy_helper.to_array(initializers(model)[node.input[1]])
            names = [f"{node.input[1]}/{a}{b}" for a, b in PHASES]
            largest |= dict.fromkeys(names, np.abs(weight).max((0, 2, 3)))
        nodes += _phases(model, node, sizes[node.input[0]]) if splits else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model)
    return largest


def _is_doubling(node: NodeProto) -> bool:
    if node.op_type != "ConvTranspose":
        return False
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    expected = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1], "group": 1}
    return all(given.get(name) == value for name, value in expected.items())


def _phases(model: ModelProto, node: NodeProto, size: tuple[int, ...]) -> list[NodeProto]:
    """Row 2m + a of the output sees rows m - 1 + a and m + a of the input, through the kernel's 3 - a and 1 - a."""
    stored = initializers(model)
    weight = numpy_helper.to_array(stored[node.input[1]]).transpose(1, 0, 2, 3)
    nodes, parts = [], []
    for a, b in PHASES:
        name = f"{node.input[1]}/{a}{b}"
        if name not in stored:
            add_initializer(model, name, np.ascontiguousarray(weight[:, :, 3 - a :: -2, 3 - b :: -2]))
        parts.append(f"{node.output[0]}/{a}{b}")
        pads = [1 - a, 1 - b, a, b]
        nodes.append(
            helper.make_node(
                "Conv", [node.input[0], name, *node.input[2:]], parts[-1:], f"{node.name}/{a}{b}", pads=pads
            )
        )
    return nodes + _interleaved(model, node, parts, (1, weight.shape[0], *size))


def _interleaved(model: ModelProto, node: NodeProto, parts: list[str], shape: tuple[int, ...]) -> list[NodeProto]:
    """What DepthToSpace does, in three nodes: with that one OpenVINO fails to load an int8 graph."""
    _, channels, height, width = shape
    names = [f"{node.output[0]}/{step}" for step in ("whole", "apart", "spread")]
    split = add_initializer(model, f"{names[0]}.shape", np.array([1, 2, 2, channels, height, width]))
    joined = add_initializer(model, f"{names[2]}.shape", np.array([1, channels, 2 * height, 2 * width]))
    return [
        helper.make_node("Concat", parts, names[:1], f"{node.name}/whole", axis=1),
        helper.make_node("Reshape", [names[0], split], names[1:2], f"{node.name}/apart"),
        helper.make_node("Transpose", names[1:2], names[2:], f"{node.name}/spread", perm=[0, 3, 4, 1, 5, 2]),
        helper.make_node("Reshape", [names[2], joined], node.output, f"{node.name}/joined"),
    ]


def open_model(model: ModelProto, *, optimized: bool = True) -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime's on the CPU; not ``optimized``, it computes each node as it stands in the graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def nodes_by_stage(model: ModelProto, stages: Iterable[str]) -> dict[str, set[str]]:
    """Names of the nodes by the first of ``stages``, tensors in the order in which they run, that needs them."""
    made, taken = producers(model), set()
    found: dict[str, set[str]] = {}
    for stage in stages:
        found[stage] = set()
        waiting = [stage]
        while waiting:
            node = made.get(waiting.pop())
            if node is not None and node.name not in taken:
                taken.add(node.name)
                found[stage].add(node.name)
                waiting += node.input
    return found
