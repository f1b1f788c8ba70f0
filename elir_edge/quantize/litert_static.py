"""int8 TFLite graphs without a float op: bytes in, bytes out, every step with its own ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elir_edge.artifacts.signature import IMAGE, RESTORED
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
    drop_unused,
)
from elir_edge.formats.tflite.flatmodel import (
    FLOAT32,
    UINT8,
    activations,
    op_names,
    pack_model,
    producer_of,
    read_model,
    tensor_name,
)
from elir_edge.quantize.litert_bias import channel_means, correct_stages
from elir_edge.quantize.ranges import Ranges

BYTES = (0.0, 255.0)
RANGE_METHOD = "mse"
EDGE_OPS = ("CAST", "ROUND", "MINIMUM", "MAXIMUM", "RELU", "RELU_0_TO_1")
SUMS = ("ADD", "MUL")
WIDE_BITS, WEIGHT_BITS = 16, 8
CHEAP_NUMBERS_PER_GFLOP = 10_000
WHERE = "the TFLite graph"

Feeds = Sequence[Mapping[str, np.ndarray]]


def quantize_tflite(
    data: bytes,
    feeds: Feeds,
    stages: Sequence[str],
    progress: Progress,
    float_tensors: frozenset[str] = frozenset(),
    method: str = RANGE_METHOD,
    gflop: float = 0.0,
) -> bytes:
    """The full-integer form of a .tflite file whose image is uint8 0..255 on both sides.

    Args:
        data: the fp32 file, as the tflite target writes it for io ``uint8``.
        feeds: the graph's inputs (an image, no noise), one mapping for each calibration sample, at least one.
        stages: names of the tensors whose means are corrected, in the order in which they run.
        progress: told of each part.
        float_tensors: names of tensors whose ops stay fp32. Bytes go in and out all the same.
        method: of the activation ranges, see ``Ranges.estimate``.
        gflop: of the graph, by which it is decided whether the sums of the latent stream may have 16 bits.

    Weights are symmetric and per channel, activations int8 with a range for each tensor of each step; the final
    clip is the saturation of the output's own type.
    """
    model = read_model(data, WHERE)
    _strip_edges(model)
    core = pack_model(model)
    ranges, means = _observe(core, feeds, stages, progress, method)
    ranges |= {IMAGE: BYTES, RESTORED: BYTES}
    with progress.stage("quantizing the TFLite graph"), captured_output():
        wide = [name for name in _latent_sums(model, stages, gflop) if name not in float_tensors]
        quantized = read_model(bytes(_quantize(core, ranges, float_tensors, wide)), WHERE)
    _speak_bytes(quantized)
    quantized = read_model(correct_stages(pack_model(quantized), feeds, means, progress), WHERE)
    drop_unused(quantized)
    return pack_model(quantized)


def _strip_edges(model: Any) -> None:
    """Take off what turns bytes to floats and back: an integer graph starts and ends inside of it."""
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
    for outer, inner, name in ((graph.inputs[0], entry, IMAGE), (graph.outputs[0], leave, RESTORED)):
        graph.tensors[int(outer)].name = f"{name}_bytes".encode()
        graph.tensors[inner].name = name.encode()
    graph.inputs, signature.inputs[0].tensorIndex = [entry], entry
    graph.outputs, signature.outputs[0].tensorIndex = [leave], leave
    graph.operators[-1].builtinOptions.fusedActivationFunction = 0


def _observe(
    core: bytes, feeds: Feeds, stages: Sequence[str], progress: Progress, method: str
) -> tuple[dict[str, tuple[float, float]], dict[str, np.ndarray]]:
    """Ranges of every tensor that an op of the float graph writes, and the means of the stages' channels."""
    interpreter = _open(core)
    image = interpreter.get_input_details()[0]["index"]
    outputs = activations(read_model(core, WHERE))
    ranges = Ranges()
    seen: dict[str, list[np.ndarray]] = {stage: [] for stage in stages}
    with progress.stage("ranges of activations", len(feeds)) as advance:
        for feed in feeds:
            interpreter.set_tensor(image, feed[IMAGE].astype(np.float32))
            interpreter.invoke()
            for name, index in outputs.items():
                ranges.add({name: interpreter.get_tensor(index)})
            for stage in stages:
                values = interpreter.get_tensor(outputs[stage])
                seen[stage].append(channel_means([values.clip(*BYTES) if stage == RESTORED else values]))
            advance(1)
    return ranges.estimate(method), {stage: np.mean(means, 0) for stage, means in seen.items()}


def _open(core: bytes) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise missing_package("ai-edge-litert", "run-litert") from error
    with captured_output():
        interpreter = Interpreter(
            model_content=core,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    return interpreter


def _latent_sums(model: Any, stages: Sequence[str], gflop: float) -> list[str]:
    """The sums that make up the latent stream, where 16 bits for them cost no more than a hundredth of the time.

    An error in the stream passes every step unchanged, so that they gain a third of the loss; but 16-bit kernels take
    5 ns a number on one core, which a small graph of a large latent feels (nano: 24 % slower), and others do not.
    """
    made = activations(model)
    waiting, found = [made[stage] for stage in stages], []
    while waiting:
        index = waiting.pop()
        op, name = producer_of(model, index)
        if name in SUMS:
            found.append(tensor_name(model, index))
            waiting += [int(source) for source in op.inputs]
    numbers = sum(int(np.prod(model.subgraphs[0].tensors[made[name]].shape)) for name in set(found))
    return sorted(set(found)) if numbers < CHEAP_NUMBERS_PER_GFLOP * gflop else []


def _quantize(
    core: bytes, ranges: dict[str, tuple[float, float]], float_tensors: frozenset[str], wide: Sequence[str]
) -> bytes:
    try:
        from ai_edge_quantizer import quantizer, recipe
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
    except ImportError as error:
        raise missing_package("ai-edge-quantizer", "quantize") from error
    task = quantizer.Quantizer(core, recipe.static_wi8_ai8())
    for name in wide:
        task.add_static_config(_exactly(name), "*", WIDE_BITS, WEIGHT_BITS)
    for name in sorted(float_tensors):
        task.update_quantization_recipe(_exactly(name), "*", algorithm_key=AlgorithmName.NO_QUANTIZE)
    found = {name: {"min": _scalar(low), "max": _scalar(high)} for name, (low, high) in ranges.items()}
    return task.quantize(found).quantized_model


def _exactly(name: str) -> str:
    """The pattern of one tensor, as the quantizer writes its ops' names."""
    return f"^{re.escape(name)};?$"


def _scalar(value: float) -> np.ndarray:
    return np.full((1, 1, 1, 1), value, np.float32)


def _speak_bytes(model: Any) -> None:
    """uint8 outside, int8 inside: the same numbers, 128 apart. Where an end is float, it holds the bytes' values."""
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
