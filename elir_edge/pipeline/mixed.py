"""Mixed precision: artifacts with more and more groups in float are measured until one meets the limits."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import Manifest
from elir_edge.core.progress import Progress
from elir_edge.errors import GateError, UnavailableError
from elir_edge.families.restorer import Restorer
from elir_edge.imaging.kinds import TASK, kind_of
from elir_edge.lowering.static import StaticRestorer
from elir_edge.pipeline.convert import convert_and_embed, main_file
from elir_edge.pipeline.judge import (
    check_gate,
    complete_manifest,
    pictures_of,
    validate_conversion,
    ways_out_of,
    why_not_run,
    with_bound,
)
from elir_edge.pipeline.ladder import Rung, best_rung, climb, latency_ms, report_of, table_lines
from elir_edge.pipeline.pareto import draw, pareto_path
from elir_edge.pipeline.request import MIXED, ExportRequest
from elir_edge.pipeline.target import Conversion
from elir_edge.quantize.mixed import group_mixture, losses_by_group, stages_of_groups
from elir_edge.quantize.plan import DEFAULT_LIMITS, Limits, Quantization
from elir_edge.quantize.preparation import as_tensors
from elir_edge.validation.result import Validation

SIMULATED_SAMPLES = 8
MANIFEST_GROWTH = 4096  # bytes: the figures that are embedded after all rungs are measured


def search_mixture(
    rounded: StaticRestorer,
    graph: StaticRestorer,
    restorer: Restorer,
    request: ExportRequest,
    facts: dict[str, Any],
    conversion: Conversion,
) -> Manifest:
    """Find the groups that stay float, and write that artifact into the conversion's folder; returns its manifest.

    Args:
        rounded: the graph with weights on the int8 grid. graph: the same graph with float weights.
        facts: of the manifest, as far as they are known before the conversion.

    Raises GateError where no mixture meets the limits, UnavailableError where this machine cannot run the format.
    """
    if (reason := why_not_run(request.target)) is not None:
        raise UnavailableError(f"mixed precision has to run the artifact: {reason}", hint="--precision int8")
    assert request.quantization is not None
    limits = request.quantization.limits or DEFAULT_LIMITS
    progress = conversion.progress
    search = _Search(rounded, graph, restorer, request, facts, conversion)
    losses = search.losses()
    rungs = climb(losses, limits, search.measure)
    chosen = best_rung(rungs, limits)
    report = report_of(losses, rungs, chosen, limits)
    check_limits(chosen, report, request.quantization, progress)
    manifest, validation = search.take(chosen)
    manifest = dataclasses.replace(manifest, quantization=(manifest.quantization or {}) | {MIXED: report})
    path = main_file(request, conversion)
    _draw_or_note(report, pareto_path(path), progress)
    degraded = check_gate(validation, request.quantization, progress, MIXED) or not chosen.meets(limits)
    return with_bound(complete_manifest(path, manifest, validation, degraded), restorer)


@dataclass
class _Search:
    """Artifacts of one export, each with other groups in float."""

    rounded: StaticRestorer
    graph: StaticRestorer
    restorer: Restorer
    request: ExportRequest
    facts: dict[str, Any]
    conversion: Conversion
    found: dict[tuple[str, ...], tuple[Path, Manifest, Validation]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trials = pictures_of(self.restorer, self.request)[0]

    def losses(self) -> dict[str, float]:
        """PSNR in dB to the float result with one group in int8, by group; simulated, on the pictures of the task."""
        assert self.request.calibration is not None
        task = tuple(pixels for name, pixels in self.trials.items() if kind_of(name) == TASK)
        judges = dataclasses.replace(self.request.calibration, pictures=task)
        samples = [
            [as_tensors(feed) for feed in feeds]
            for feeds in (
                self.conversion.calibration[:SIMULATED_SAMPLES],
                judges.feeds(self.request.form, self.rounded.spec),
            )
        ]
        levels = self.request.target.levels(self.request.precision)
        return losses_by_group(self.rounded, self.graph, samples[0], samples[1], self.conversion.progress, levels)

    def measure(self, floats: tuple[str, ...]) -> Rung:
        """Convert and validate with the groups ``floats`` in float, in a folder of its own."""
        request, progress = self.request, self.conversion.progress
        progress.note(f"in float: {', '.join(floats) or 'nothing'}")
        folder = self.conversion.folder / f"rung_{len(floats)}"
        folder.mkdir()
        stages = stages_of_groups(self.rounded, floats)
        conversion = dataclasses.replace(self.conversion, folder=folder, float_stages=stages)
        mixture = group_mixture(self.rounded, self.graph, floats)
        manifest = convert_and_embed(mixture, request, self.facts, conversion)
        path = main_file(request, conversion)
        validation = validate_conversion(path, manifest, self.restorer, request, progress)
        self.found[floats] = folder, manifest, validation
        size = MANIFEST_GROWTH + sum(file.stat().st_size for file in self._files(folder))
        latency = latency_ms(path, validation.backend, next(iter(self.trials.values())))
        return Rung.of(floats, validation, size, latency)

    def take(self, rung: Rung) -> tuple[Manifest, Validation]:
        """Move the files of ``rung`` into the conversion's folder; returns their manifest and validation."""
        folder, manifest, validation = self.found[rung.floats]
        for file in self._files(folder):
            file.replace(self.conversion.folder / file.name)
        return manifest, validation

    def _files(self, folder: Path) -> list[Path]:
        return [folder / f"{self.conversion.stem}{suffix}" for suffix in self.request.target.suffixes]


def check_limits(chosen: Rung, report: dict[str, Any], quantization: Quantization, progress: Progress) -> None:
    """Report the table where ``chosen`` misses a limit. Raises GateError then, unless degraded output is allowed."""
    limits = quantization.limits or DEFAULT_LIMITS
    if chosen.meets(limits):
        return
    for line in table_lines(report):
        progress.note(line)
    best = (
        f"the best, with {', '.join(chosen.floats) or 'nothing'} in float, loses {chosen.mean_drop_db:.3f} dB, has "
        f"{chosen.size_mb:.2f} MB and takes {chosen.latency_ms:.1f} ms"
        + ("" if chosen.missed is None else f", below the gate ({chosen.missed})")
    )
    sentence = f"no mixture meets the limits {_limits_text(limits)}: {best}"
    if not quantization.allow_degraded:
        ways = ways_out_of(MIXED, quantization.calibration)
        raise GateError(sentence, hint=f"nothing was written; {ways}; --precision fp16 loses less")
    progress.note(f"note: {sentence}")


def _limits_text(limits: Limits) -> str:
    named = ((limits.max_drop_db, "dB"), (limits.max_size_mb, "MB"), (limits.max_latency_ms, "ms"))
    return ", ".join(f"{value:g} {unit}" for value, unit in named if value is not None)


def _draw_or_note(report: dict[str, Any], path: Path, progress: Progress) -> None:
    try:
        draw(report, path)
    except UnavailableError as error:
        progress.note(f"note: the table is not drawn: {error} ({error.hint})")
