"""The gate of fp16 against overflow: many runtimes compute such artifacts in half precision, whatever was compared."""

from __future__ import annotations

from typing import Any

from elir_edge.artifacts.tensors import feeds_of
from elir_edge.families.restorer import Restorer
from elir_edge.lowering.static import StaticRestorer
from elir_edge.pipeline.request import ExportRequest
from elir_edge.quantize.calibration import task_of
from elir_edge.quantize.overflow import half_range_facts
from elir_edge.quantize.preparation import as_tensors
from elir_edge.validation.trials import gather_trials

HALF = "fp16"


def activation_facts(graph: StaticRestorer, restorer: Restorer, request: ExportRequest) -> dict[str, Any]:
    """For the manifest of an fp16 artifact: the largest magnitudes inside ``graph``. Raises GateError for overflow.

    Measured on the photographs of the package, degraded as the task of the model says. Empty for other precisions.
    """
    if request.precision != HALF:
        return {}
    form = request.form
    pictures = gather_trials(task_of(restorer.spec), form.height, form.width).degraded
    inputs = form.inputs(restorer.spec)
    samples = [as_tensors(feeds_of(inputs, pixels, i)) for i, pixels in enumerate(pictures.values())]
    return {"activations": half_range_facts(graph, samples, sorted(pictures))}
