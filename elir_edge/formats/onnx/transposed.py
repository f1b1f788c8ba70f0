"""Transposed convolutions as plain ones: ONNX Runtime has no integer transposed convolution."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from elir_edge.formats.onnx.graph import add_initializer, attributes_of, drop_unused, initializers

PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))


def split_transposed(
    model: ModelProto, keep: frozenset[str], sizes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Replace 4x4 transposed convolutions of stride 2 by four 2x2 convolutions, one for each phase of the output.

    Only those with padding 1 on each side are replaced; the nodes in ``keep`` stay. ``sizes`` has the height and width
    of their inputs, by tensor name. The function and the number of weights stay.

    Returns, for the name of each new kernel, the largest absolute weight of each output channel over all four kernels:
    the int8 scales of the original.
    """
    nodes: list[NodeProto] = []
    largest: dict[str, np.ndarray] = {}
    for node in model.graph.node:
        splits = node.name not in keep and _is_doubling(node)
        if splits:
            weight = numpy_helper.to_array(initializers(model)[node.input[1]])
            names = [f"{node.input[1]}/{a}{b}" for a, b in PHASES]
            largest |= dict.fromkeys(names, np.abs(weight).max((0, 2, 3)))
        nodes += _phase_convolutions(model, node, sizes[node.input[0]]) if splits else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model)
    return largest


def _is_doubling(node: NodeProto) -> bool:
    if node.op_type != "ConvTranspose":
        return False
    given = attributes_of(node)
    expected = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1], "group": 1}
    plain = {"output_padding": [0, 0], "dilations": [1, 1]}
    has_plain = all(given.get(name, value) == value for name, value in plain.items())
    return has_plain and "output_shape" not in given and all(given.get(key) == value for key, value in expected.items())


def _phase_convolutions(model: ModelProto, node: NodeProto, size: tuple[int, ...]) -> list[NodeProto]:
    """Row 2m + a of the output reads rows m - 1 + a and m + a of the input, with rows 3 - a and 1 - a of the kernel."""
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
    return nodes + _interleave(model, node, parts, (1, weight.shape[0], *size))


def _interleave(model: ModelProto, node: NodeProto, parts: list[str], shape: tuple[int, ...]) -> list[NodeProto]:
    """DepthToSpace in four nodes: OpenVINO cannot load an int8 graph with that operator."""
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
