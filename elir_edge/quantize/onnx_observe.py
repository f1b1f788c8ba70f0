"""What calibration samples show of an ONNX graph: ranges of activations, means of convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from elir_edge.core.progress import Advance
from elir_edge.formats.onnx.graph import convolutions, copy_of, own_tensors, producers, with_outputs
from elir_edge.formats.onnx.session import open_model
from elir_edge.formats.onnx.transposed import split_transposed
from elir_edge.quantize.bias import channel_means
from elir_edge.quantize.ranges import Ranges, TailedRanges

QUANTIZED = (
    *("Conv", "ConvTranspose", "Add", "Mul", "Sigmoid", "Relu", "Concat", "Resize", "AveragePool"),
    *("Reshape", "Transpose"),
)
OUTPUTS_AT_ONCE = 256


@dataclass
class Observation:
    """``ranges`` of tensors by name; ``means`` of each output channel, samples x channels, by convolution."""

    ranges: Ranges | TailedRanges
    means: dict[str, np.ndarray]


def prepare_model(
    model: ModelProto, sample: Mapping[str, np.ndarray], float_ops: frozenset[str]
) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """A copy for the quantizer: transposed convolutions split, no weight or bias shared by two convolutions.

    ``sample`` is one set of the graph's inputs. Also returns what ``split_transposed`` returns.
    """
    prepared = copy_of(model)
    largest = split_transposed(prepared, float_ops, _transposed_sizes(model, sample))
    own_tensors(prepared)
    return prepared, largest


def observe(
    model: ModelProto, feeds: Sequence[Mapping[str, np.ndarray]], advance: Advance, ranges: Ranges | TailedRanges
) -> Observation:
    """Run ``model`` on ``feeds``; ``ranges`` gets the values of activations.

    Raises DataError where a sample leads to NaN or infinity.
    """
    outputs = {node.output[0]: node.name for node in convolutions(model)}
    wanted = _quantizable(model)
    batches = [wanted[i : i + OUTPUTS_AT_ONCE] for i in range(0, len(wanted), OUTPUTS_AT_ONCE)]
    seen = Observation(ranges, {})
    means: dict[str, list[np.ndarray]] = {name: [] for name in outputs.values()}
    sessions = [open_model(with_outputs(model, batch)) for batch in batches]
    for sample in feeds:
        for batch, session in zip(batches, sessions, strict=True):
            results = dict(zip(batch, session.run(batch, dict(sample)), strict=True))
            values = {name: array for name, array in results.items() if array.dtype == np.float32}
            seen.ranges.add(values)
            for name in outputs.keys() & values.keys():
                means[outputs[name]].append(channel_means(values[name]))
        seen.ranges.add({name: array for name, array in sample.items() if array.dtype == np.float32})
        advance(1)
    seen.means = {name: np.array(rows) for name, rows in means.items()}
    return seen


def _transposed_sizes(model: ModelProto, sample: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Height and width of the input of each transposed convolution; shape inference stops at GroupNormalization."""
    names = [node.input[0] for node in model.graph.node if node.op_type == "ConvTranspose"]
    if not names:
        return {}
    arrays = open_model(with_outputs(model, names)).run(names, dict(sample))
    return {name: array.shape[2:] for name, array in zip(names, arrays, strict=True)}


def _quantizable(model: ModelProto) -> list[str]:
    """Activations that a node which may become integer reads or writes."""
    made, names = producers(model), []
    for node in model.graph.node:
        if node.op_type in QUANTIZED:
            names += [name for name in (*node.input, *node.output) if name in made]
    return list(dict.fromkeys(names))
