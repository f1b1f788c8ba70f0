"""GroupNormalization as InstanceNormalization, which more NPU compilers support."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from elir_edge.errors import DataError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

GROUP_NORM = "GroupNormalization"


def as_instance_norm(model: ModelProto) -> ModelProto:
    """A copy in which each GroupNormalization is Reshape, InstanceNormalization, Reshape, Mul and Add.

    Guarantees: the same function up to rounding. Raises DataError where the input shape, scale or shift of one is not
    constant.
    """
    from onnx import numpy_helper

    from elir_edge.formats.onnx.graph import drop_unused

    model = copy.deepcopy(model)
    if not any(node.op_type == GROUP_NORM for node in model.graph.node):
        return model
    shapes = shapes_of(model)
    constants = {item.name: item for item in model.graph.initializer}
    added: dict[str, np.ndarray] = {}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type != GROUP_NORM:
            nodes.append(node)
            continue
        shape = shapes.get(node.input[0], ())
        if len(shape) != 4 or not all(shape) or not all(name in constants for name in node.input[1:]):
            raise DataError(
                f"the GroupNormalization '{node.name}' has no fixed shape, scale and shift",
                hint="export it with elir-edge export: its graphs have fixed shapes",
            )
        affine = [numpy_helper.to_array(constants[name]).reshape(1, -1, 1, 1) for name in node.input[1:]]
        nodes += _instance_norm(node, shape, affine, added)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in added.items())
    drop_unused(model)
    return model


def _instance_norm(
    node: NodeProto, shape: tuple[int, ...], affine: list[np.ndarray], added: dict[str, np.ndarray]
) -> list[NodeProto]:
    from onnx import helper

    from elir_edge.formats.onnx.graph import attributes_of

    facts = attributes_of(node)
    groups, (batch, channels, height, width) = facts["num_groups"], shape
    grouped = np.array([batch, groups, channels // groups * height, width], np.int64)

    def constant(name: str, value: np.ndarray) -> str:
        return name if np.array_equal(added.setdefault(name, value), value) else constant(f"{name}_", value)

    def step(op: str, inputs: list[str], output: str, **more: Any) -> NodeProto:
        return helper.make_node(op, inputs, [output], f"{op}_{output}", **more)

    x, y = node.input[0], node.output[0]
    ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    return [
        step("Reshape", [x, constant(f"shape_{'x'.join(map(str, grouped))}", grouped)], f"{y}.grouped"),
        step(
            "InstanceNormalization",
            [f"{y}.grouped", constant(f"ones_{groups}", ones), constant(f"zeros_{groups}", zeros)],
            f"{y}.normal",
            epsilon=facts.get("epsilon", 1e-5),
        ),
        step(
            "Reshape",
            [f"{y}.normal", constant(f"shape_{'x'.join(map(str, shape))}", np.array(shape, np.int64))],
            f"{y}.ungrouped",
        ),
        step("Mul", [f"{y}.ungrouped", constant(f"{node.input[1]}.4d", affine[0])], f"{y}.scaled"),
        step("Add", [f"{y}.scaled", constant(f"{node.input[2]}.4d", affine[1])], y),
    ]


def shapes_of(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors by name, as far as they can be inferred; 0 for a dimension that is not fixed.

    Inferred on a copy with Identity in place of GroupNormalization, which ONNX's shape inference does not know.
    """
    import onnx

    probe = copy.deepcopy(model)
    for node in probe.graph.node:
        if node.op_type == GROUP_NORM:
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    inferred = onnx.shape_inference.infer_shapes(probe).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in values}
