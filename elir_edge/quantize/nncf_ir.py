"""int8 OpenVINO models, quantized by NNCF."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elir_edge.core.native import captured_output
from elir_edge.core.progress import Progress
from elir_edge.errors import missing_package
from elir_edge.quantize.half import LARGEST

NO_TELEMETRY = "NNCF_CI"
BIAS_SAMPLES = 4  # the worst picture of nano loses 0.26 dB with 4 samples, 0.36 dB with 12, 0.58 dB with 20
BIAS_SHARE = 0.2  # of the subset, a constant of NNCF
OUTLIERS = 1e-4


def quantize_ir(
    model: Any,
    feeds: Sequence[Mapping[str, np.ndarray]],
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
        with progress.stage("quantizing with NNCF"):
            quantized = nncf.quantize(
                model,
                nncf.Dataset([dict(sample) for sample in feeds]),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=max(len(feeds), round(min(len(feeds), BIAS_SAMPLES) / BIAS_SHARE)),
                fast_bias_correction=False,
                ignored_scope=nncf.IgnoredScope(names=sorted(sums | float_ops), validate=False),
                advanced_parameters=_parameters(),
            )
    _halve_constants(quantized)
    _tidy(quantized, {node.get_friendly_name() for node in model.get_ops()})
    return quantized


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
    """Quantiles over all samples for activations, and 127 levels for weights, which ``rounding`` has made of them.

    NNCF's default for activations is the mean of the samples' extremes, which clips. The extremes of all samples give
    more to a few outliers than the other values can spare. With all 255 levels of weights, processors whose 16-bit sums
    saturate compute another picture.
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
        overflow_fix=OverflowFix.ENABLE, activations_range_estimator_params=RangeEstimatorParameters(low, high)
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
