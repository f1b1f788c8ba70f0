"""int8 OpenVINO models, quantized by NNCF."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from elir_edge.core.native import captured_output
from elir_edge.core.progress import Progress
from elir_edge.core.signal_stack import keep_signal_stack
from elir_edge.errors import missing_package
from elir_edge.formats.openvino import CONVOLUTIONS
from elir_edge.quantize.bias import Feeds, numbers_of_samples
from elir_edge.quantize.half import LARGEST
from elir_edge.quantize.levels import LEVELS_WITHOUT_VNNI

NO_TELEMETRY = "NNCF_CI"
OUTLIERS = 1e-4


def quantize_ir(
    model: Any,
    feeds: Feeds,
    progress: Progress,
    float_ops: frozenset[str] = frozenset(),
    latents: frozenset[str] = frozenset(),
) -> Any:
    """The int8 form of ``model``, an ``openvino.Model`` in fp32.

    Args:
        model: as the openvino target makes it, before it is saved.
        feeds: the graph's inputs by name, one mapping for each calibration sample, at least one.
        progress: gets the stages of the work.
        float_ops: friendly names of nodes that stay fp32. Nodes keep their names.
        latents: tensors of the latent stream. Sums that write one stay unrounded: an error in the stream passes
            every step unchanged.

    Weights are symmetric, with one scale for each output channel. The range of an activation spans, over all samples,
    the quantiles ``OUTLIERS`` and 1 - ``OUTLIERS`` of each, for each tensor of each step. Biases are corrected one
    after the other on the quantized graph. Raises UnavailableError where NNCF is not installed.
    """
    with captured_output():
        nncf = _nncf()
        sums = {node.get_friendly_name() for node in model.get_ops() if _is_sum(node, latents)}
        with progress.stage("quantizing with NNCF"), keep_signal_stack():
            quantized = nncf.quantize(
                model,
                nncf.Dataset([dict(sample) for sample in feeds]),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(feeds),
                ignored_scope=nncf.IgnoredScope(names=sorted(sums | float_ops), validate=False),
                advanced_parameters=_parameters(),
            )
        _set_kernels(model, quantized)
        _correct_biases(model, quantized, feeds, progress)
    _halve_constants(quantized)
    _tidy(quantized, {node.get_friendly_name() for node in model.get_ops()})
    return quantized


def _set_kernels(model: Any, quantized: Any) -> None:
    """Give int8 weights, in place, the grid that ``rounding`` has put kernels on: 63 steps to the largest weight.

    NNCF has max / 63.5 for a step where it guards against overflow. That rounds the weights again and makes them all
    0.8 % smaller: a colour shift.
    """
    from openvino import opset13 as ops

    weights = dict(_inputs(model))
    for key, scaled in _inputs(quantized):
        weight = weights[key]
        if weight.get_type_name() != "Constant" or scaled.get_type_name() != "Multiply":
            continue
        values, shape = weight.data, scaled.input_value(1).get_shape()
        largest = np.abs(values).max(tuple(i for i, side in enumerate(shape) if side == 1), keepdims=True)
        step = np.where(largest > 0, largest / LEVELS_WITHOUT_VNNI, 1).astype(np.float32)
        integer = ops.constant(np.rint(values / step).astype(np.int8))
        scaled.input(0).replace_source_output(ops.convert(integer, "f32").output(0))
        scaled.input(1).replace_source_output(ops.constant(step).output(0))


def _inputs(model: Any) -> list[tuple[tuple[str, int], Any]]:
    """((name, port), node before it) of convolutions, and of products of matrices, of which one may be constant."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() in (*CONVOLUTIONS, "MatMul")]
    return [
        ((node.get_friendly_name(), port), value.get_node())
        for node in nodes
        for port, value in enumerate(node.input_values())
    ]


def _correct_biases(model: Any, quantized: Any, feeds: Feeds, progress: Progress) -> None:
    """Instead of NNCF's correction, which compiles the model twice a convolution and is held to no other picture."""
    from elir_edge.quantize.openvino_bias import convolution_means, correct_biases

    chosen = [feeds[i] for i in numbers_of_samples(len(feeds))]
    with progress.stage("correcting biases") as advance:
        means = convolution_means(model, chosen, lambda share: advance(share / 2))
        correct_biases(quantized, chosen, means, lambda share: advance(share / 2))


def _nncf() -> Any:
    """The library without telemetry, which it leaves out if this variable is set when it is imported."""
    before = os.environ.get(NO_TELEMETRY)
    os.environ[NO_TELEMETRY] = "1"
    try:
        import nncf
    except ImportError as error:
        raise missing_package("nncf", "quantize") from error
    finally:
        del os.environ[NO_TELEMETRY]
        if before is not None:
            os.environ[NO_TELEMETRY] = before
    return nncf


def _parameters() -> Any:
    """Quantiles over all samples for activations.

    NNCF's default is the mean of the samples' extremes, which clips. The extremes of all samples give more to a few
    outliers than the other values can spare.
    """
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
    from nncf.quantization.range_estimator import (
        AggregatorType,
        RangeEstimatorParameters,
        StatisticsCollectorParameters,
        StatisticsType,
    )

    low, high = (
        StatisticsCollectorParameters(
            statistics_type=StatisticsType.QUANTILE, aggregator_type=aggregator, quantile_outlier_prob=OUTLIERS
        )
        for aggregator in (AggregatorType.MIN, AggregatorType.MAX)
    )
    return AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.DISABLE,
        activations_range_estimator_params=RangeEstimatorParameters(low, high),
        disable_bias_correction=True,
    )


def _is_sum(node: Any, latents: frozenset[str]) -> bool:
    return node.get_type_name() == "Add" and bool(node.output(0).get_names() & latents)


def _halve_constants(model: Any) -> None:
    """Store float constants of two or more axes in half precision."""
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "f32":
            values = node.data
            if sum(side > 1 for side in values.shape) > 1 and np.abs(values).max() < LARGEST:
                half = ops.convert(ops.constant(values.astype(np.float16)), "f32")
                for reader in node.output(0).get_target_inputs():
                    reader.replace_source_output(half.output(0))


def _tidy(model: Any, known: set[str]) -> None:
    """Merge equal input and output limits of quantizers; give new nodes short names in the order of execution."""
    ordered = model.get_ordered_ops()
    for node in ordered:
        if node.get_type_name() == "FakeQuantize":
            for taken, given in ((1, 3), (2, 4)):
                if np.array_equal(*(node.input_value(i).get_node().data for i in (taken, given))):
                    node.input(given).replace_source_output(node.input_value(taken))
    for i, node in enumerate(model.get_ordered_ops()):
        if node.get_friendly_name() not in known:
            node.set_friendly_name(f"q{i}")
