"""Edits of integer ONNX graphs without which Qualcomm's compiler for HTP refuses them or loses their picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

LARGEST = 5.0  # 1 - tanh(5) is 9e-5, less than a step of LARGEST / 32768 = 1.5e-4


def own_transposed_kernels(model: ModelProto) -> None:
    """Give each transposed convolution a stored kernel of its own, with its own Cast or DequantizeLinear, in place.

    onnxruntime-qnn turns stored kernels to its layout; it cannot turn one for a Conv and a ConvTranspose alike.
    """
    from onnx import NodeProto, numpy_helper

    from elir_edge.formats.onnx.graph import add_initializer, drop_unused, initializers, producers

    stored, made = initializers(model), producers(model)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "ConvTranspose":
            before = made.get(node.input[1])
            kernel = stored[node.input[1] if before is None else before.input[0]]
            own = add_initializer(model, f"{kernel.name}@{node.name}", numpy_helper.to_array(kernel))
            if before is not None:
                inputs, own = [own, *before.input[1:]], f"{before.output[0]}@{node.name}"
                nodes.append(NodeProto(op_type=before.op_type, name=own, input=inputs, output=[own]))
                nodes[-1].attribute.extend(before.attribute)
            node.input[1] = own
        nodes.append(node)
    _put_nodes(model, nodes)
    drop_unused(model)


def keep_sums_before_tanh(model: ModelProto) -> None:
    """Put a 16-bit quantizer between each float sum and the Tanh that reads it, in place.

    Without it, the HTP rounds such a sum to 8 bits: measured on a trained latent, Tanh after it has 35 dB in place of
    more than 60. The quantizer ends at +-5, where Tanh is 1 to the last step.
    """
    from onnx import helper

    from elir_edge.formats.onnx.graph import add_initializer, producers

    made, nodes = producers(model), []
    for node in model.graph.node:
        before = made.get(node.input[0]) if node.op_type == "Tanh" else None
        if before is not None and before.op_type == "Add":
            grid = [f"{node.name}.scale", f"{node.name}.zero_point"]
            add_initializer(model, grid[0], np.asarray(LARGEST / 2**15, np.float32))
            add_initializer(model, grid[1], np.asarray(2**15, np.uint16))
            for op in ("QuantizeLinear", "DequantizeLinear"):
                output = f"{node.name}.{op}"
                nodes.append(helper.make_node(op, [node.input[0], *grid], [output], output))
                node.input[0] = output
        nodes.append(node)
    _put_nodes(model, nodes)


def _put_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Make ``nodes`` the nodes of ``model``, without those that nothing reads."""
    read = {name for node in nodes for name in node.input} | {output.name for output in model.graph.output}
    kept = [node for node in nodes if read.intersection(node.output)]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(copies)
