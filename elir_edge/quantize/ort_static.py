"""int8 ONNX graphs, placed for ONNX Runtime: every convolution between a DequantizeLinear and a QuantizeLinear."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from elir_edge.artifacts.signature import RESTORED
from elir_edge.core.progress import Progress
from elir_edge.errors import missing_package
from elir_edge.formats.onnx.graph import (
    consumers,
    convolutions,
    copy_of,
    drop_unused,
    merge_identical,
    open_model,
    own_tensors,
    producers,
    shorten_names,
    split_transposed,
    with_outputs,
)
from elir_edge.quantize.half import halve_weights
from elir_edge.quantize.onnx_bias import correct_biases
from elir_edge.quantize.ranges import Ranges

QUANTIZED = (
    *("Conv", "ConvTranspose", "Add", "Mul", "Sigmoid", "Relu", "Concat", "Resize", "AveragePool"),
    *("Reshape", "Transpose"),
)
RANGE_METHOD = "mse"
AT_ONCE = 256

Feeds = Sequence[Mapping[str, np.ndarray]]


def quantize_onnx(
    model: ModelProto,
    feeds: Feeds,
    progress: Progress,
    float_ops: frozenset[str] = frozenset(),
    latents: frozenset[str] = frozenset(),
    method: str = RANGE_METHOD,
) -> ModelProto:
    """The int8 graph of ``model``, which is not changed.

    Args:
        model: fp32, as the onnx target writes it.
        feeds: the graph's inputs by name, one mapping for each calibration sample, at least one.
        progress: told of the stages.
        float_ops: names of nodes that stay fp32. A node keeps its name.
        latents: tensors that are sums to be kept unrounded, however they are quantized for the convolutions that read
            them: an error in the latent stream passes every step unchanged.
        method: of the activation ranges, see ``Ranges.estimate``.

    Weights are symmetric, -127 to 127, one scale for each output channel, and stored once for all steps; activations
    are uint8, with a range for each tensor of each step. GroupNormalization, and SiLU right after it, stay float. The
    final clip is left to the last quantizer. Raises DataError where a sample leads to NaN or infinity.
    """
    prepared, largest = _prepared(model, feeds[0], float_ops)
    with progress.stage("measuring activations", len(feeds)) as advance:
        seen = _observe(prepared, feeds, advance)
    ranges = seen.ranges.estimate(method) | _picture_range(prepared)
    with progress.stage("quantizing"):
        adds = (node for node in prepared.graph.node if node.op_type == "Add")
        sums = frozenset(node.name for node in adds if latents & set(node.output))
        excluded = float_ops | sums | _float_activations(prepared)
        quantized = _quantize(prepared, ranges, excluded, largest)
        _pass_floats_on(quantized, excluded)
    with progress.stage("correcting biases") as advance:
        correct_biases(quantized, feeds, seen.means, advance)
    merge_identical(quantized)
    halve_weights(quantized)
    shorten_names(quantized)
    return quantized


def float_convolutions(model: ModelProto) -> list[str]:
    """Convolutions that ONNX Runtime computes in floating point, by name, in the graph that its optimizer makes."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        optimized = onnx.load_model(options.optimized_model_filepath)
    kinds = ("Conv", "ConvTranspose", "FusedConv", "NhwcFusedConv")
    return [node.name for node in optimized.graph.node if node.op_type in kinds]


@dataclass
class Observation:
    """What the calibration samples showed: ``ranges`` of tensors, ``means`` of each channel by convolution."""

    ranges: Ranges
    means: dict[str, np.ndarray]


def _prepared(
    model: ModelProto, sample: Mapping[str, np.ndarray], float_ops: frozenset[str]
) -> tuple[ModelProto, dict[str, np.ndarray]]:
    prepared = copy_of(model)
    largest = split_transposed(prepared, float_ops, _sizes(model, sample))
    own_tensors(prepared)
    _drop_clip(prepared, float_ops)
    return prepared, largest


def _sizes(model: ModelProto, sample: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Height and width of what each transposed convolution reads; inference of shapes ends at GroupNormalization."""
    names = [node.input[0] for node in model.graph.node if node.op_type == "ConvTranspose"]
    if not names:
        return {}
    arrays = open_model(with_outputs(model, names)).run(names, dict(sample))
    return {name: array.shape[2:] for name, array in zip(names, arrays, strict=True)}


def _drop_clip(model: ModelProto, float_ops: frozenset[str]) -> None:
    """Leave clipping, and the rounding of bytes, to the quantizer after the last convolution."""
    *_, last = convolutions(model)
    if last.name in float_ops:
        return
    for node in _after(model, last):
        source, target = node.input[0], node.output[0]
        model.graph.node.remove(node)
        if target == RESTORED:
            producers(model)[source].output[0] = RESTORED
        for other in model.graph.node:
            other.input[:] = [source if name == target else name for name in other.input]
    drop_unused(model)


def _after(model: ModelProto, last: NodeProto) -> list[NodeProto]:
    """Clips and roundings of the picture, behind the last convolution; those of stages inside are not theirs."""
    made, found, name = producers(model), [], RESTORED
    while name in made and made[name] is not last:
        if made[name].op_type in ("Clip", "Round"):
            found.append(made[name])
        name = made[name].input[0]
    return found[::-1]


def _picture_range(model: ModelProto) -> dict[str, tuple[float, float]]:
    """What the image and the restored one can hold at most, known without measuring."""
    *_, last = convolutions(model)
    after = consumers(model)
    is_bytes = model.graph.output[0].type.tensor_type.elem_type == TensorProto.UINT8
    known = (0.0, 255.0 if is_bytes else 1.0)
    first = next(convolutions(model))
    ends = [first.input[0], *last.output, *(name for node in after.get(last.output[0], []) for name in node.output)]
    return dict.fromkeys(ends, known)


def _observe(model: ModelProto, feeds: Feeds, advance: Any) -> Observation:
    outputs = {node.output[0]: node.name for node in convolutions(model)}
    wanted = _quantizable(model)
    batches = [wanted[i : i + AT_ONCE] for i in range(0, len(wanted), AT_ONCE)]
    seen = Observation(Ranges(), dict.fromkeys(outputs.values(), np.zeros(())))
    sessions = [open_model(with_outputs(model, batch)) for batch in batches]
    for sample in feeds:
        for batch, session in zip(batches, sessions, strict=True):
            values = dict(zip(batch, session.run(batch, dict(sample)), strict=True))
            seen.ranges.add(values)
            for name in outputs.keys() & values.keys():
                seen.means[outputs[name]] = seen.means[outputs[name]] + values[name].mean((0, 2, 3)) / len(feeds)
        seen.ranges.add({name: array for name, array in sample.items() if array.dtype == np.float32})
        advance(1)
    return seen


def _quantizable(model: ModelProto) -> list[str]:
    """Tensors that nodes which may become integer read or write, without inputs and stored ones."""
    made, names = producers(model), []
    for node in model.graph.node:
        if node.op_type in QUANTIZED:
            names += [name for name in (*node.input, *node.output) if name in made]
    return list(dict.fromkeys(names))


def _float_activations(model: ModelProto) -> frozenset[str]:
    """SiLU right after a normalisation, whose result is float: one quantizer after it is better than three around."""
    made, names = producers(model), set()
    for node in model.graph.node:
        before = [made[name].op_type for name in node.input if name in made]
        if node.op_type in ("Sigmoid", "Mul") and "GroupNormalization" in before:
            names.add(node.name)
    return frozenset(names)


def _quantize(
    model: ModelProto,
    ranges: Mapping[str, tuple[float, float]],
    float_ops: frozenset[str],
    largest: Mapping[str, np.ndarray],
) -> ModelProto:
    try:
        from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorData, TensorsData
    except ImportError as error:
        raise missing_package("onnxruntime", "onnx") from error
    _state_types(model, ranges)
    limits = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()
    }
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
        nodes_to_quantize=[],
        nodes_to_exclude=sorted(float_ops),
        op_types_to_quantize=list(QUANTIZED),
        extra_options={
            "QDQDisableWeightAdjustForInt32Bias": True,
            "TensorQuantOverrides": _given_scales(model, largest),
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized = quantizer.model.model
    quantized.producer_name, quantized.producer_version = model.producer_name, model.producer_version
    del quantized.graph.value_info[:], quantized.metadata_props[:]
    return quantized


def _given_scales(model: ModelProto, largest: Mapping[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
    """The scales of kernels whose ``largest`` magnitudes are stated, by the name of each copy of a kernel."""
    zero = np.int8(0)
    return {
        tensor.name: [
            {"axis": 0, "scale": np.float32(magnitude / 127 if magnitude else 1.0), "zero_point": zero}
            for magnitude in largest[original].astype(np.float64)
        ]
        for tensor in model.graph.initializer
        if (original := tensor.name.partition("@")[0]) in largest
    }


def _pass_floats_on(model: ModelProto, excluded: frozenset[str]) -> None:
    """Let float nodes read what float nodes made as it is, not as it was rounded for others."""
    made = producers(model)
    floats = {node.name for node in model.graph.node if node.name in excluded or node.op_type not in QUANTIZED}
    for node in model.graph.node:
        if node.name in floats and node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            node.input[:] = [_unrounded(name, made, floats) for name in node.input]


def _unrounded(name: str, made: Mapping[str, NodeProto], floats: set[str]) -> str:
    dequantize = made.get(name)
    quantize = made.get(dequantize.input[0]) if dequantize is not None else None
    if dequantize is None or dequantize.op_type != "DequantizeLinear" or quantize is None:
        return name
    source = made.get(quantize.input[0])
    return quantize.input[0] if source is None or source.name in floats else name


def _state_types(model: ModelProto, floats: Mapping[str, Any]) -> None:
    """Say which tensors are float: inference of types, which the quantizer would run, ends at GroupNormalization."""
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in floats if name not in known
    )
    helper.set_model_props(model, {"onnx.infer": "onnxruntime.quant"})
