"""Bias correction of int8 ONNX graphs: the channel means of every convolution become those of the float graph.

The graph is run once, section by section, for all samples side by side: each correction is measured with all earlier
convolutions corrected (Nagel et al., ICCV 2019, section 4.2, on data).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from elir_edge.core.progress import Advance
from elir_edge.formats.onnx.graph import CONVOLUTIONS, initializers, producers
from elir_edge.formats.onnx.session import open_model
from elir_edge.quantize.bias import along_channels, channel_means, shift_that_holds

Tensors = dict[str, np.ndarray]


def correct_biases(
    model: ModelProto, feeds: Sequence[Mapping[str, np.ndarray]], means: Mapping[str, np.ndarray], advance: Advance
) -> None:
    """Change the biases of ``model``, a graph with QuantizeLinear and DequantizeLinear nodes, in place.

    ``means`` has the mean of each output channel in the float graph, one row for each of ``feeds``, by the name of the
    convolution. A correction that does not hold for samples left out is not made (see ``shift_that_holds``). No two
    convolutions may share a bias. ``advance`` is called with shares of 1.
    """
    stored, made = initializers(model), producers(model)
    alive: list[Tensors] = [dict(sample) for sample in feeds]
    sections = list(_sections(model))
    needed = _tensors_read_later(model, sections)
    for nodes, kept in zip(sections, needed, strict=True):
        last = nodes[-1]
        alive = _run_section(model, nodes, kept | set(last.output), alive)
        if last.name in means and last.op_type in CONVOLUTIONS:
            found = np.array([channel_means(tensors[last.output[0]]) for tensors in alive])
            applied = _add_to_bias(last, shift_that_holds(means[last.name] - found), stored, made)
            for tensors in alive:
                tensors[last.output[0]] += along_channels(applied, tensors[last.output[0]])
        advance(1 / len(sections))


def _sections(model: ModelProto) -> Iterator[list[NodeProto]]:
    """The nodes in sections that end with a convolution; nodes after the last convolution are left out."""
    section: list[NodeProto] = []
    for node in model.graph.node:
        section.append(node)
        if node.op_type in CONVOLUTIONS:
            yield section
            section = []


def _tensors_read_later(model: ModelProto, sections: list[list[NodeProto]]) -> list[set[str]]:
    """For each section, the tensors that later sections read."""
    read: set[str] = set()
    needed: list[set[str]] = []
    for nodes in reversed(sections):
        made = {name for node in nodes for name in node.output}
        needed.append(set(read))
        read = (read - made) | {name for node in nodes for name in node.input}
    return [names - initializers(model).keys() for names in reversed(needed)]


def _run_section(model: ModelProto, nodes: list[NodeProto], kept: set[str], alive: list[Tensors]) -> list[Tensors]:
    """Run ``nodes`` on each sample's tensors; returns the tensors in ``kept``, old and new, of each sample."""
    made = {name for node in nodes for name in node.output}
    wanted = sorted(kept & made)
    inputs = sorted({name for node in nodes for name in node.input} & alive[0].keys())
    session = open_model(_part(model, nodes, {name: alive[0][name] for name in inputs}, wanted), optimized=False)
    after = []
    for tensors in alive:
        results = session.run(wanted, {name: tensors[name] for name in inputs})
        passed = {name: array for name, array in tensors.items() if name in kept}
        after.append(passed | dict(zip(wanted, results, strict=True)))
    return after


def _part(model: ModelProto, nodes: list[NodeProto], inputs: Tensors, outputs: list[str]) -> ModelProto:
    part = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    part.graph.name = "part"
    part.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in used)
    for name, array in inputs.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        part.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    part.graph.output.extend(ValueInfoProto(name=name) for name in outputs)  # ONNX Runtime infers the types
    return part


def _add_to_bias(
    node: NodeProto, shift: np.ndarray, stored: Mapping[str, TensorProto], made: Mapping[str, NodeProto]
) -> np.ndarray:
    """Add ``shift`` to the node's bias, int32 or float; returns what was added after rounding."""
    dequantize = made.get(node.input[2])
    if dequantize is None:
        bias = stored[node.input[2]]
        _replace(bias, numpy_helper.to_array(bias) + shift.astype(np.float32))
        return shift.astype(np.float32)
    bias, scale = stored[dequantize.input[0]], numpy_helper.to_array(stored[dequantize.input[1]])
    steps = np.rint(shift / scale)
    limits = np.iinfo(np.int32)
    _replace(bias, np.clip(numpy_helper.to_array(bias) + steps, limits.min, limits.max).astype(np.int32))
    return (steps * scale).astype(np.float32)


def _replace(tensor: TensorProto, values: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
