"""Bias correction of int8 TFLite graphs: the channel means of every stage become those of the float graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elir_edge.core.cores import usable_cores
from elir_edge.core.progress import Progress
from elir_edge.formats.tflite.edit import add_constant
from elir_edge.formats.tflite.ends import keep_needed, outputs_of
from elir_edge.formats.tflite.file import pack_model
from elir_edge.formats.tflite.flatmodel import (
    FLOAT32,
    activations,
    constant,
    float_constant,
    producer_of,
    quantization_of,
)
from elir_edge.quantize.bias import Feeds, shift_that_holds

CONVOLUTIONS = ("CONV_2D", "TRANSPOSE_CONV")
PASSES_MEANS = ("ADD", "QUANTIZE", "DEQUANTIZE")
WHERE = "the int8 TFLite graph"

Means = Mapping[str, np.ndarray]


def correct_stages(model: Any, feeds: Feeds, means: Means, progress: Progress) -> None:
    """Shift the biases, in place, so that each stage has the channel means of the float graph, where that holds.

    Args:
        model: the object tree of the quantized file.
        feeds: its inputs, one mapping for each calibration sample.
        means: mean of each channel in the float graph, samples x channels, by stage in the order of execution.
        progress: advanced once for each stage.
    """
    with progress.stage("correcting biases", len(means)) as advance:
        for stage, expected in means.items():
            op = _writing_convolution(model, stage)
            if op is not None:
                _add_to_bias(model, op, shift_that_holds(expected - _means(model, stage, feeds)))
            advance(1)


def channel_means(samples: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of each channel over all positions of each of ``samples``, N x H x W x C: samples x channels."""
    return np.array([sample.astype(np.float64).mean((0, 1, 2)) for sample in samples])


def _means(model: Any, stage: str, feeds: Feeds) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=_up_to(model, stage), num_threads=usable_cores())
    runner = interpreter.get_signature_runner()
    scale, zero = quantization_of(model, stage)
    return channel_means([(runner(**feed)[stage].astype(np.float64) - zero) * scale for feed in feeds])


def _up_to(model: Any, stage: str) -> bytes:
    """The file with ``stage`` as its only output, and only the ops that it depends on; the tree is as before."""
    with outputs_of(model, [stage], WHERE):
        keep_needed(model.subgraphs[0])
        return pack_model(model)


def _writing_convolution(model: Any, stage: str) -> Any | None:
    """The convolution whose bias shifts the mean of ``stage`` by the same amount: only sums are between the two."""
    op, name = producer_of(model, activations(model)[stage])
    while name in PASSES_MEANS:
        found = [producer_of(model, int(index)) for index in op.inputs]
        direct = [pair for pair in found if pair[1] in CONVOLUTIONS]
        if direct:
            return direct[-1][0]
        op, name = next((pair for pair in found if pair[1] in PASSES_MEANS), (None, ""))
    return op if name in CONVOLUTIONS else None


def _add_to_bias(model: Any, op: Any, shift: np.ndarray) -> None:
    port = len(op.inputs) - 1
    index = int(op.inputs[port])
    if model.subgraphs[0].tensors[index].type == FLOAT32:
        moved = (float_constant(model, index) + shift).astype(np.float32)
    else:
        values, scales = constant(model, index, np.int32)
        limits = np.iinfo(np.int32)
        moved = np.rint(values + shift / scales).clip(limits.min, limits.max).astype(np.int32)
    op.inputs = np.array([*op.inputs[:port], add_constant(model, index, moved)], np.int32)
