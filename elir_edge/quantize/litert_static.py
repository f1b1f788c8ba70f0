"""int8 TFLite graphs without float ops: uint8 input and output, ranges of their own for every step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elir_edge.artifacts.signature import IMAGE, RESTORED
from elir_edge.core.cores import usable_cores
from elir_edge.core.native import captured_output
from elir_edge.core.progress import Progress
from elir_edge.errors import missing_package
from elir_edge.formats.tflite.edit import (
    DEQUANTIZE,
    DEQUANTIZE_VERSION,
    QUANTIZE,
    QUANTIZE_VERSION,
    add_op,
    add_tensor,
    drop_clip,
    drop_unused,
)
from elir_edge.formats.tflite.ends import outputs_of
from elir_edge.formats.tflite.file import pack_model, read_model
from elir_edge.formats.tflite.flatmodel import FLOAT32, UINT8, activations, op_names, producer_of, tensor_name
from elir_edge.quantize.bias import Feeds, bias_samples
from elir_edge.quantize.litert_bias import channel_means, correct_stages
from elir_edge.quantize.litert_kernels import make_room
from elir_edge.quantize.ranges import RANGE_METHOD, Ranges, TailedRanges

BYTES = (0.0, 255.0)
EDGE_OPS = ("CAST", "ROUND", "MINIMUM", "MAXIMUM", "RELU", "RELU_0_TO_1")
CLIPS = ("MINIMUM", "MAXIMUM", "RELU", "RELU_0_TO_1")
SUMS = ("ADD", "MUL")
WIDE_BITS, WEIGHT_BITS = 16, 8
CHEAP_NUMBERS_PER_GFLOP = 10_000
WHERE = "the TFLite graph"


def quantize_tflite(
    model: Any,
    feeds: Feeds,
    stages: Sequence[str],
    progress: Progress,
    float_tensors: frozenset[str] = frozenset(),
    method: str = RANGE_METHOD,
    gflop: float = 0.0,
    tails: bool = False,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Any:
    """The object tree of the integer form, with uint8 input and output; ``model`` is changed on the way.

    Args:
        model: the object tree of the fp32 file, as the tflite target writes it for io ``uint8``.
        feeds: the graph's inputs (an image, no noise), one mapping for each calibration sample, at least one.
        stages: names of the tensors whose means are corrected, in the order of execution.
        progress: gets the stages of the work.
        float_tensors: names of tensors whose ops stay fp32. Input and output are uint8 in any case.
        method: of the activation ranges, see ``Ranges.estimate``.
        gflop: of the graph: decides whether the sums of the latent stream have 16 bits.
        tails: whether ranges hold for pictures unlike most, see ``TailedRanges``.
        bounds: (low, high) of tensors that the graph clips: the saturation of their type replaces these clips too.

    Weights are symmetric with a scale per channel; activations are int8 with a range for each tensor of each step. The
    saturation of the output's type replaces the final clip.
    """
    renamed = _strip_edges(model)
    float_tensors = frozenset(renamed.get(name, name) for name in float_tensors)
    seen = TailedRanges() if tails else Ranges()
    means = _observe(model, feeds, stages, progress, seen)
    saturated = _drop_clips(model, bounds or {}, float_tensors)
    ranges = seen.estimate(method) | {IMAGE: BYTES, RESTORED: BYTES, **saturated}
    with progress.stage("quantizing the TFLite graph"), captured_output():
        wide = [name for name in _wide_sums(model, stages, gflop) if name not in float_tensors]
        quantized = read_model(bytes(_quantize(model, ranges, float_tensors, wide)), WHERE)
    _add_byte_ends(quantized)
    correct_stages(quantized, *bias_samples(feeds, means), progress)
    drop_unused(quantized)
    return quantized


def _strip_edges(model: Any) -> dict[str, str]:
    """Remove the ops at both ends that convert bytes to floats and back.

    Returns the new names of the tensors that are the ends now, by their old names.
    """
    graph = model.subgraphs[0]
    ops = op_names(model)
    first, last = 0, len(ops) - 1
    while ops[first] in EDGE_OPS:
        first += 1
    while ops[last] in EDGE_OPS:
        last -= 1
    entry, leave = int(graph.operators[first].inputs[0]), int(graph.operators[last].outputs[0])
    graph.operators = graph.operators[first : last + 1]
    signature = model.signatureDefs[0]
    renamed = {tensor_name(model, entry): IMAGE, tensor_name(model, leave): RESTORED}
    for outer, inner, name in ((graph.inputs[0], entry, IMAGE), (graph.outputs[0], leave, RESTORED)):
        graph.tensors[int(outer)].name = f"{name}_bytes".encode()
        graph.tensors[inner].name = name.encode()
    graph.inputs, signature.inputs[0].tensorIndex = [entry], entry
    graph.outputs, signature.outputs[0].tensorIndex = [leave], leave
    graph.operators[-1].builtinOptions.fusedActivationFunction = 0
    return renamed


def _drop_clips(
    model: Any, bounds: Mapping[str, tuple[float, float]], float_tensors: frozenset[str]
) -> dict[str, tuple[float, float]]:
    """Those of ``bounds`` whose tensors are integers: their types saturate there, so that their clips are removed."""
    saturated = {name: limits for name, limits in bounds.items() if name not in float_tensors}
    for name in saturated:
        drop_clip(model, name, CLIPS)
    return saturated


def _observe(
    model: Any, feeds: Feeds, stages: Sequence[str], progress: Progress, ranges: Ranges | TailedRanges
) -> dict[str, np.ndarray]:
    """Channel means of ``stages`` of the float graph; ``ranges`` gets the values of all activations."""
    outputs = activations(model)
    with outputs_of(model, list(outputs), WHERE):
        interpreter = _open(pack_model(model))
    image = interpreter.get_input_details()[0]["index"]
    seen: dict[str, list[np.ndarray]] = {stage: [] for stage in stages}
    with progress.stage("ranges of activations", len(feeds)) as advance:
        for feed in feeds:
            interpreter.set_tensor(image, feed[IMAGE].astype(np.float32))
            interpreter.invoke()
            for name, index in outputs.items():
                ranges.add({name: interpreter.get_tensor(index)})
            for stage in stages:
                values = interpreter.get_tensor(outputs[stage])
                seen[stage].append(channel_means([values.clip(*BYTES) if stage == RESTORED else values])[0])
            advance(1)
    return {stage: np.array(means) for stage, means in seen.items()}


def _open(core: bytes) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise missing_package("ai-edge-litert", "run-litert") from error
    with captured_output():
        interpreter = Interpreter(model_content=core, num_threads=usable_cores())
        interpreter.allocate_tensors()
    return interpreter


def latent_sums(model: Any, stages: Sequence[str]) -> list[str]:
    """Names of the sums of the latent stream: those that a stage of ``stages`` is, or is a sum of."""
    made = activations(model)
    waiting, found = [made[stage] for stage in stages], []
    while waiting:
        index = waiting.pop()
        op, name = producer_of(model, index)
        if name in SUMS:
            found.append(tensor_name(model, index))
            waiting += [int(source) for source in op.inputs]
    return sorted(set(found))


def _wide_sums(model: Any, stages: Sequence[str], gflop: float) -> list[str]:
    """Names of the sums of the latent stream, if 16 bits for them cost less than 1 % of the time; else none.

    An error in the stream passes every step unchanged: with 16 bits a third of the PSNR loss goes away. But 16-bit
    kernels take 5 ns per value on one core, which costs a small graph with a large latent much (nano: 24 % slower).
    """
    made, found = activations(model), latent_sums(model, stages)
    numbers = sum(int(np.prod(model.subgraphs[0].tensors[made[name]].shape)) for name in found)
    return found if numbers < CHEAP_NUMBERS_PER_GFLOP * gflop else []


def _quantize(
    model: Any, ranges: dict[str, tuple[float, float]], float_tensors: frozenset[str], wide: Sequence[str]
) -> bytes:
    try:
        from ai_edge_quantizer import quantizer, recipe
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
    except ImportError as error:
        raise missing_package("ai-edge-quantizer", "quantize") from error
    make_room(model, ranges, float_tensors)
    task = quantizer.Quantizer(pack_model(model), recipe.static_wi8_ai8())
    for name in wide:
        task.add_static_config(_name_pattern(name), "*", WIDE_BITS, WEIGHT_BITS)
    for name in sorted(float_tensors):
        task.update_quantization_recipe(_name_pattern(name), "*", algorithm_key=AlgorithmName.NO_QUANTIZE)
    found = {name: {"min": _scalar(low), "max": _scalar(high)} for name, (low, high) in ranges.items()}
    return task.quantize(found).quantized_model


def _name_pattern(name: str) -> str:
    """Pattern that matches the op of one tensor in the quantizer's recipe."""
    return f"^{re.escape(name)};?$"


def _scalar(value: float) -> np.ndarray:
    return np.full((1, 1, 1, 1), value, np.float32)


def _add_byte_ends(model: Any) -> None:
    """Add uint8 input and output: an int8 end has the same values minus 128, a float end the values of the bytes."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    inner, leaving = int(graph.inputs[0]), int(graph.outputs[0])
    outer, given = add_tensor(model, inner, IMAGE, UINT8, 0), add_tensor(model, leaving, RESTORED, UINT8, 0)
    is_float = graph.tensors[inner].type == FLOAT32
    for tensor in (inner, leaving):
        graph.tensors[tensor].name += b"_inside"
    op, version = (DEQUANTIZE, DEQUANTIZE_VERSION) if is_float else (QUANTIZE, QUANTIZE_VERSION)
    add_op(model, 0, op, version, outer, inner)
    add_op(model, len(graph.operators), QUANTIZE, QUANTIZE_VERSION, leaving, given)
    graph.inputs, graph.outputs = [outer], [given]
    signature.inputs[0].tensorIndex, signature.outputs[0].tensorIndex = outer, given
