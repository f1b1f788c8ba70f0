"""Bias correction of int8 OpenVINO models: the channel means of every convolution become those of the float model.

The model is run once, section by section, for all samples side by side: each correction is measured with all earlier
convolutions corrected (Nagel et al., ICCV 2019, section 4.2, on data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from elir_edge.core.progress import Advance
from elir_edge.core.signal_stack import keep_signal_stack
from elir_edge.formats.openvino import CONVOLUTIONS
from elir_edge.quantize.bias import Feeds, along_channels, channel_means, shift_that_holds

EXACT = {"INFERENCE_PRECISION_HINT": "f32"}

Port = tuple[str, int]  # friendly name of a node, number of its output
Tensors = dict[Port, np.ndarray]


def convolution_means(model: Any, feeds: Feeds, advance: Advance) -> dict[str, np.ndarray]:
    """What ``correct_biases`` wants of the float model: samples x channels, by the name of a convolution's biased sum.

    ``advance`` is called with shares of 1.
    """
    names = [node.get_friendly_name() for node in model.get_ordered_ops() if _bias_port(node) is not None]
    shown = model.clone()
    nodes = {node.get_friendly_name(): node for node in shown.get_ops()}
    sums = [nodes[name].output(0) for name in names]
    axes = [[0, *range(2, len(port.get_partial_shape()))] for port in sums]
    means = [ops.reduce_mean(port, over, False) for port, over in zip(sums, axes, strict=True)]
    shown.add_outputs([mean.output(0) for mean in means])
    compiled = _compile(shown)
    rows = []
    for sample in feeds:
        rows.append(list(compiled(dict(sample)).values())[len(model.outputs) :])
        advance(1 / len(feeds))
    return {name: np.array(found, np.float64) for name, found in zip(names, zip(*rows, strict=True), strict=True)}


def _compile(model: Any) -> Any:
    with keep_signal_stack():
        return openvino.Core().compile_model(model, "CPU", EXACT)


def correct_biases(model: Any, feeds: Feeds, means: Mapping[str, np.ndarray], advance: Advance) -> None:
    """Change the biases of ``model``, an ``openvino.Model`` with FakeQuantize nodes, in place.

    ``means`` has the mean of each output channel in the float model, one row for each of ``feeds``, by the friendly
    name of the sum of a convolution and its bias. A correction that does not hold for samples left out is not made
    (see ``shift_that_holds``). ``advance`` is called with shares of 1.
    """
    corrected = {node.get_friendly_name(): node for node in model.get_ops()}
    sections = _Sections(model.clone(), list(means))
    alive: list[Tensors] = [sections.inputs(sample) for sample in feeds]
    for name in sections.order:
        alive = sections.run(name, alive)
        found = np.array([channel_means(tensors[name, 0]) for tensors in alive])
        shift = along_channels(shift_that_holds(means[name] - found).astype(np.float32), alive[0][name, 0])
        _add_to_bias(corrected[name], shift)
        for tensors in alive:
            tensors[name, 0] += shift
        advance(1 / len(sections.order))


class _Sections:
    """A model in sections that end with the sum of a convolution and its bias; ``model`` is taken apart."""

    def __init__(self, model: Any, ends: Sequence[str]) -> None:
        self._model = model  # its nodes live as long as it does
        nodes = _nodes_after_inputs(model)
        places = {node.get_friendly_name(): i for i, node in enumerate(nodes)}
        self.order = sorted(ends, key=places.__getitem__)
        self._sections: dict[str, list[Any]] = {}
        first = 0
        for name in self.order:
            self._sections[name] = nodes[first : places[name] + 1]
            first = places[name] + 1
        self._later = {node.get_friendly_name() for section in self._sections.values() for node in section}
        self._parameters = {(node.get_friendly_name(), 0): node for node in model.get_parameters()}

    def inputs(self, sample: Mapping[str, np.ndarray]) -> Tensors:
        """The tensors that the first section reads."""
        return {(port.get_node().get_friendly_name(), 0): sample[port.any_name] for port in self._model.inputs}

    def run(self, end: str, alive: Sequence[Tensors]) -> list[Tensors]:
        """Run the section that ends with ``end``; returns its result and what later sections read, of each sample."""
        nodes = self._sections[end]
        self._later -= {node.get_friendly_name() for node in nodes}
        read = {value.get_node().get_friendly_name() for node in nodes for value in node.input_values()}
        used = {port: node for port, node in self._parameters.items() if node.get_friendly_name() in read}
        made = [output for node in nodes for output in node.outputs() if self._readers(output)]
        if (end, 0) not in {_port(output) for output in made}:
            made.append(nodes[-1].output(0))
        part = openvino.Model([ops.result(output) for output in made], list(used.values()))
        compiled = _compile(part)
        results = [compiled([tensors[port] for port in used]) for tensors in alive]
        self._cut(made)
        return [
            {port: array for port, array in before.items() if port in self._parameters}
            | {_port(output): result[i].copy() for i, output in enumerate(made)}
            for before, result in zip(alive, results, strict=True)
        ]

    def _cut(self, outputs: Sequence[Any]) -> None:
        """Let later sections read new parameters in place of ``outputs``; forget those that none reads any more."""
        for output in outputs:
            parameter = ops.parameter(output.get_partial_shape(), output.get_element_type())
            for reader in self._readers(output):
                reader.replace_source_output(parameter.output(0))
            self._parameters[_port(output)] = parameter
        self._parameters = {port: node for port, node in self._parameters.items() if self._readers(node.output(0))}

    def _readers(self, output: Any) -> list[Any]:
        return [port for port in output.get_target_inputs() if port.get_node().get_friendly_name() in self._later]


def _port(output: Any) -> Port:
    return output.get_node().get_friendly_name(), output.get_index()


def _nodes_after_inputs(model: Any) -> list[Any]:
    """The nodes that depend on an input of ``model``, in the order of execution, without inputs and results."""
    depends: set[str] = set()
    found = []
    for node in model.get_ordered_ops():
        sources = {value.get_node().get_friendly_name() for value in node.input_values()}
        if node.get_type_name() == "Parameter" or sources & depends:
            depends.add(node.get_friendly_name())
            if node.get_type_name() not in ("Parameter", "Result"):
                found.append(node)
    return found


def _bias_port(node: Any) -> int | None:
    """Number of the input of a sum that is the bias of a convolution; None for other nodes."""
    if node.get_type_name() != "Add":
        return None
    kinds = [value.get_node().get_type_name() for value in node.input_values()]
    return kinds.index("Constant") if "Constant" in kinds and set(kinds) & set(CONVOLUTIONS) else None


def _add_to_bias(node: Any, shift: np.ndarray) -> None:
    """Add ``shift`` to the bias that ``node`` adds; other nodes that read the same constant keep it."""
    port = node.input(_bias_port(node))
    port.replace_source_output(ops.constant(port.get_source_output().get_node().data + shift).output(0))
