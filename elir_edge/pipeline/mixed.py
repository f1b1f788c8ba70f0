"""Mixed precision: rungs between int8 and float, measured one after the other until the limits are kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import Manifest
from elir_edge.core.progress import Progress
from elir_edge.errors import GateError, UnavailableError
from elir_edge.families.restorer import Restorer
from elir_edge.lowering.static import StaticRestorer
from elir_edge.pipeline.convert import main_file, written
from elir_edge.pipeline.judge import WAYS_OUT, judged, pictures_of, validation_of, why_not_run
from elir_edge.pipeline.ladder import Rung, best_of, climb, draw, latency_of, pareto_path, report_of, table_lines
from elir_edge.pipeline.request import MIXED, ExportRequest
from elir_edge.pipeline.target import Conversion
from elir_edge.quantize.mixed import assembled, losses_by_group, stages_of_groups
from elir_edge.quantize.plan import DEFAULT_LIMITS, Limits, Quantization
from elir_edge.quantize.preparation import as_tensors
from elir_edge.validation.result import Validation
from elir_edge.validation.trials import DRAWS

SIMULATED = 8
MANIFEST_GROWTH = 4096  # bytes: the figures that are embedded once all rungs are measured


def mix(
    graph: StaticRestorer,
    plain: StaticRestorer,
    restorer: Restorer,
    request: ExportRequest,
    facts: dict[str, Any],
    conversion: Conversion,
) -> Manifest:
    """Climb from int8 until the limits are kept; the rung to publish ends up in the conversion's folder."""
    progress = conversion.progress
    if (reason := why_not_run(request.target)) is not None:
        raise UnavailableError(f"mixed precision is measured on the artifact: {reason}", hint="--precision int8")
    assert request.quantization is not None
    limits = request.quantization.limits or DEFAULT_LIMITS
    trials = pictures_of(restorer, request)[0]
    found: dict[tuple[str, ...], tuple[Path, Manifest, Validation]] = {}

    def measured(floats: tuple[str, ...]) -> Rung:
        progress.note(f"in float: {', '.join(floats) or 'nothing'}")
        folder = conversion.folder / f"rung_{len(floats)}"
        folder.mkdir()
        stages = stages_of_groups(graph, floats)
        rung = dataclasses.replace(conversion, folder=folder, float_stages=stages)
        manifest = written(assembled(graph, plain, floats), request, facts, rung)
        path = main_file(request, rung)
        validation = validation_of(path, manifest, restorer, request, progress)
        found[floats] = folder, manifest, validation
        size = MANIFEST_GROWTH + sum(
            (folder / f"{rung.stem}{suffix}").stat().st_size for suffix in request.target.suffixes
        )
        return Rung.of(floats, validation, size, latency_of(path, validation.backend, next(iter(trials.values()))))

    losses = _losses(graph, plain, request, trials, conversion)
    rungs = climb(losses, limits, measured)
    chosen = best_of(rungs, limits)
    report = report_of(losses, rungs, chosen, limits)
    folder, manifest, validation = found[chosen.floats]
    manifest = dataclasses.replace(manifest, quantization=(manifest.quantization or {}) | {MIXED: report})
    hold_to_limits(chosen, report, request.quantization, progress)
    for suffix in request.target.suffixes:
        (folder / f"{conversion.stem}{suffix}").replace(conversion.folder / f"{conversion.stem}{suffix}")
    path = main_file(request, conversion)
    _draw(report, pareto_path(path), progress)
    return judged(path, manifest, validation, request, progress, degraded=not chosen.keeps(limits))


def _losses(
    graph: StaticRestorer,
    plain: StaticRestorer,
    request: ExportRequest,
    trials: dict[str, np.ndarray],
    conversion: Conversion,
) -> dict[str, float]:
    """By simulation, on one draw of each photograph."""
    assert request.calibration is not None
    judges = dataclasses.replace(request.calibration, pictures=tuple(trials.values())[::DRAWS])
    samples = [
        [as_tensors(feed) for feed in feeds]
        for feeds in (conversion.calibration[:SIMULATED], judges.feeds(request.form, graph.spec))
    ]
    return losses_by_group(graph, plain, samples[0], samples[1], conversion.progress)


def hold_to_limits(chosen: Rung, report: dict[str, Any], quantization: Quantization, progress: Progress) -> None:
    """Raise GateError, with the table told before, where no rung keeps to the limits and none has to be published."""
    limits = quantization.limits or DEFAULT_LIMITS
    if chosen.keeps(limits):
        return
    for line in table_lines(report):
        progress.note(line)
    best = (
        f"the best, with {', '.join(chosen.floats) or 'nothing'} in float, loses {chosen.mean_drop_db:.3f} dB, has "
        f"{chosen.size_mb:.2f} MB and takes {chosen.latency_ms:.1f} ms" + ("" if chosen.passed else ", below the gate")
    )
    sentence = f"no mixture keeps to {_asked(limits)}: {best}"
    if not quantization.allow_degraded:
        raise GateError(sentence, hint=f"nothing was written; {WAYS_OUT}; --precision fp16 keeps it whole")
    progress.note(f"note: {sentence}")


def _asked(limits: Limits) -> str:
    named = ((limits.max_drop_db, "dB"), (limits.max_size_mb, "MB"), (limits.max_latency_ms, "ms"))
    return ", ".join(f"{value:g} {unit}" for value, unit in named if value is not None)


def _draw(report: dict[str, Any], path: Path, progress: Progress) -> None:
    try:
        draw(report, path)
    except UnavailableError as error:
        progress.note(f"note: the table is not drawn: {error} ({error.hint})")
