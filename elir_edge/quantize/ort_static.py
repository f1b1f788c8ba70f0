"""Integer ONNX graphs: a DequantizeLinear before and a QuantizeLinear after every convolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from elir_edge.core.progress import Progress
from elir_edge.errors import missing_package
from elir_edge.formats.onnx.graph import attributes_of, convolutions, merge_identical, shorten_names
from elir_edge.quantize.bias import Feeds, bias_samples, least_scales
from elir_edge.quantize.half import halve_weights
from elir_edge.quantize.levels import BYTES, Grid
from elir_edge.quantize.onnx_bias import correct_biases
from elir_edge.quantize.onnx_edges import drop_clip, float_activations, pass_floats_on
from elir_edge.quantize.onnx_observe import QUANTIZED, observe, prepare_model
from elir_edge.quantize.onnx_picture import picture_ranges
from elir_edge.quantize.ranges import Ranges, TailedRanges

FOR_EVERY_SAMPLE = 1.0
BIAS = 2  # its place among the inputs of a convolution


def quantize_onnx(
    model: ModelProto,
    feeds: Feeds,
    progress: Progress,
    float_ops: frozenset[str] = frozenset(),
    latents: frozenset[str] = frozenset(),
    grid: Grid = BYTES,
    tails: bool = False,
) -> ModelProto:
    """The graph of ``model``, which is not changed, with int8 weights and integer activations.

    Args:
        model: fp32, as the onnx target writes it.
        feeds: the graph's inputs by name, one mapping for each calibration sample, at least one.
        progress: gets the stages of the work.
        float_ops: names of nodes that stay fp32. Nodes keep their names.
        latents: tensors of the latent stream, in which an error passes every step: sums that write one stay unrounded.
        grid: steps of the weights, type of the activations, and how their ranges are found.
        tails: whether ranges hold for every sample, see ``TailedRanges``.

    Weights are symmetric with one scale for each output channel, and stored once for all steps. Activations have a
    range for each tensor of each step. GroupNormalization, and SiLU right after it, stay float. The last quantizer does
    the final clip. Raises DataError where a sample leads to NaN or infinity.
    """
    float_ops |= _without_integer_form(model)
    prepared, largest = prepare_model(model, feeds[0], float_ops)
    drop_clip(prepared, float_ops, keeps_rounding=grid != BYTES)
    with progress.stage("measuring activations", len(feeds)) as advance:
        seen = observe(prepared, feeds, advance, TailedRanges(FOR_EVERY_SAMPLE) if tails else Ranges())
    ranges = seen.ranges.estimate(grid.ranges) | picture_ranges(prepared)
    with progress.stage("quantizing"):
        excluded = float_ops | _sums_of(prepared, latents) | float_activations(prepared)
        quantized = _quantize(prepared, ranges, excluded, largest, grid)
        pass_floats_on(quantized, excluded)
    with progress.stage("correcting biases") as advance:
        correct_biases(quantized, *bias_samples(feeds, seen.means), advance)
    merge_identical(quantized)
    halve_weights(quantized)
    shorten_names(quantized)
    return quantized


def _without_integer_form(model: ModelProto) -> frozenset[str]:
    """Names of the grouped transposed convolutions: no scale of their kernels is that of one output channel.

    ONNX Runtime computes transposed convolutions in float in any case.
    """
    transposed = (node for node in model.graph.node if node.op_type == "ConvTranspose")
    return frozenset(node.name for node in transposed if attributes_of(node).get("group", 1) != 1)


def _sums_of(model: ModelProto, latents: frozenset[str]) -> frozenset[str]:
    """Names of the nodes that write one of ``latents`` as a sum."""
    adds = (node for node in model.graph.node if node.op_type == "Add")
    return frozenset(node.name for node in adds if latents & set(node.output))


def _quantize(
    model: ModelProto,
    ranges: Mapping[str, tuple[float, float]],
    float_ops: frozenset[str],
    largest: Mapping[str, np.ndarray],
    grid: Grid,
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
        activation_qType=QuantType[f"Q{grid.activations}"],
        tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
        nodes_to_quantize=[],
        nodes_to_exclude=sorted(float_ops),
        op_types_to_quantize=list(QUANTIZED),
        extra_options={
            "QDQDisableWeightAdjustForInt32Bias": True,
            "TensorQuantOverrides": _kernel_scales(model, largest, ranges, grid),
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized = quantizer.model.model
    quantized.producer_name, quantized.producer_version = model.producer_name, model.producer_version
    del quantized.graph.value_info[:], quantized.metadata_props[:]
    return quantized


def _kernel_scales(
    model: ModelProto, largest: Mapping[str, np.ndarray], ranges: Mapping[str, tuple[float, float]], grid: Grid
) -> dict[str, list[dict[str, Any]]]:
    """Scales of kernels by output channel; ``largest`` has the magnitudes of those that are parts of another one."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    scales = {}
    for node in convolutions(model):
        name, axis = node.input[1], 1 if node.op_type == "ConvTranspose" else 0
        magnitudes = largest.get(name.partition("@")[0])
        if magnitudes is None:
            kernel = np.abs(numpy_helper.to_array(tensors[name]))
            magnitudes = kernel.max(tuple(i for i in range(kernel.ndim) if i != axis))
        bias = tensors.get(node.input[BIAS]) if len(node.input) > BIAS else None
        least = np.zeros(len(magnitudes))
        if bias is not None and list(bias.dims) == [len(least)] and node.input[0] in ranges:  # else it stays float
            least = least_scales(numpy_helper.to_array(bias), ranges[node.input[0]], grid.activation_steps)
        scales[name] = [
            {"axis": axis, "scale": np.float32(scale) or np.float32(1), "zero_point": np.int8(0)}
            for scale in np.maximum(magnitudes.astype(np.float64) / grid.kernel_levels, least)
        ]
    return scales


def _state_types(model: ModelProto, floats: Mapping[str, Any]) -> None:
    """Declare ``floats`` as float tensors: the quantizer's own type inference stops at GroupNormalization."""
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in floats if name not in known
    )
    helper.set_model_props(model, {"onnx.infer": "onnxruntime.quant"})
