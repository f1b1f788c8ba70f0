"""Questions to OpenVINO models: which nodes depend on which."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from elir_edge.formats.walk import upstream_by_stage

IMAGE_AXES = 4
CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData")


def node_sources(nodes: Iterable[Any]) -> Callable[[str], list[str]]:
    """For ``formats.walk``: a function from the friendly name of a node to those of the nodes that it reads.

    It accepts the names of ``nodes`` and those that it has returned.
    """
    known = {node.get_friendly_name(): node for node in nodes}

    def sources(name: str) -> list[str]:
        inputs = {node.get_friendly_name(): node for node in (v.get_node() for v in known[name].input_values())}
        known.update(inputs)
        return list(inputs)

    return sources


def nodes_by_stage(model: Any, stages: Iterable[str]) -> dict[str, set[str]]:
    """Friendly names of the nodes that compute each of ``stages`` and none before it.

    ``stages`` are names of tensors, in the order of execution.
    """
    made = {name: port.get_node() for node in model.get_ops() for port in node.outputs() for name in port.get_names()}
    ends = {stage: made[stage].get_friendly_name() for stage in stages}
    return upstream_by_stage(ends, node_sources(made.values()))


def nodes_with_kernels(model: Any, kernels: Collection[np.ndarray]) -> frozenset[str]:
    """Friendly names of the convolutions whose kernels are equal to one of ``kernels``, in PyTorch's layout."""
    convolutions = [node for node in model.get_ops() if node.get_type_name() in CONVOLUTIONS]
    constants = {node.get_friendly_name(): node.input_value(1).get_node() for node in convolutions}
    return frozenset(
        name
        for name, constant in constants.items()
        if constant.get_type_name() == "Constant" and any(np.array_equal(constant.data, other) for other in kernels)
    )


def largest_sums(model: Any, nodes: Collection[str]) -> set[str]:
    """Friendly names of the nodes among ``nodes`` that add two activations, of the largest height."""
    heights = {
        node.get_friendly_name(): node.output(0).shape[2]
        for node in model.get_ops()
        if node.get_type_name() == "Add"
        and node.get_friendly_name() in nodes
        and all(value.get_node().get_type_name() != "Constant" for value in node.input_values())
        and len(node.output(0).shape) == IMAGE_AXES
    }
    return {name for name, height in heights.items() if height == max(heights.values())}
