"""The search for a mixture: from int8 towards float, one group more in float each time, until the limits are met."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.quantize.plan import Limits
from elir_edge.runtime.restore import run_picture
from elir_edge.runtime.session import open_session
from elir_edge.validation.result import Validation

TIMED_RUNS = 5


@dataclass(frozen=True)
class Rung:
    """Figures of an artifact with the groups ``floats`` in float.

    ``mean_drop_db`` and ``worst_drop_db``: PSNR lost against the originals. ``psnr_db``: to PyTorch fp32, on the worst
    picture. ``size_mb``: of all files, in 10^6 bytes. ``latency_ms``: of one picture on this machine. ``missed``:
    the first condition of the precision's gate that is not met, as a sentence; None where all are met.
    """

    floats: tuple[str, ...]
    mean_drop_db: float
    worst_drop_db: float
    psnr_db: float
    size_mb: float
    latency_ms: float
    missed: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate of the precision is met."""
        return self.missed is None

    @classmethod
    def of(cls, floats: tuple[str, ...], validation: Validation, size_bytes: int, latency_ms: float) -> Rung:
        """Figures of ``validation``, which has originals, rounded as they are shown."""
        return cls(
            floats,
            round(validation.mean_drop_db or 0.0, 4),
            round(validation.worst_drop_db or 0.0, 4),
            round(validation.pictures[validation.worst].psnr_db, 1),
            round(size_bytes / 1e6, 3),
            round(latency_ms, 1),
            next(iter(validation.failures), None),
        )

    def affordable(self, limits: Limits) -> bool:
        """Whether size and latency are within ``limits``."""
        budgets = ((self.size_mb, limits.max_size_mb), (self.latency_ms, limits.max_latency_ms))
        return all(limit is None or value <= limit for value, limit in budgets)

    def meets(self, limits: Limits) -> bool:
        """Whether it is within every limit and the gate."""
        reached = limits.max_drop_db is None or self.mean_drop_db <= limits.max_drop_db
        return self.passed and reached and self.affordable(limits)


def climb(losses: Mapping[str, float], limits: Limits, measure: Callable[[tuple[str, ...]], Rung]) -> list[Rung]:
    """Measure int8, then one group more in float each time, the one with the largest error first.

    Args:
        losses: PSNR in dB to the float result with one group in int8, by group; the smallest is the most harmful.
        limits: with ``max_drop_db``, the search ends at the first rung that meets all limits; else all are measured.
        measure: converts and measures the artifact with these groups in float.

    At least one group stays in int8: an artifact all in float is another precision.
    """
    order = sorted(losses, key=lambda name: losses[name])
    rungs: list[Rung] = []
    for count in range(len(order)):
        rungs.append(measure(tuple(order[:count])))
        if limits.max_drop_db is not None and rungs[-1].meets(limits):
            break
    return rungs


def best_rung(rungs: Sequence[Rung], limits: Limits) -> Rung:
    """The best rung of those that meet every limit, else of the affordable ones, else of all.

    Of rungs that pass the gate it is the one of the smallest mean drop, then the one nearest to PyTorch. A drop below 0
    counts as 0: such a result is nearer to the originals by chance. Of rungs that all miss the gate it is the one
    nearest to PyTorch, as a result that is far from it may have any drop.
    """
    within = [rung for rung in rungs if rung.meets(limits)]
    affordable = [rung for rung in rungs if rung.affordable(limits)]
    return min(within or affordable or rungs, key=_badness)


def _badness(rung: Rung) -> tuple[bool, float, float]:
    return not rung.passed, max(rung.mean_drop_db, 0.0) if rung.passed else 0.0, -rung.psnr_db


def report_of(losses: Mapping[str, float], rungs: Sequence[Rung], chosen: Rung, limits: Limits) -> dict[str, Any]:
    """The search as plain data for the manifest."""
    return {
        "limits": dataclasses.asdict(limits),
        "losses_db": {name: round(loss, 1) for name, loss in losses.items()},
        "float_groups": list(chosen.floats),
        "table": [_row(rung) for rung in rungs],
    }


def _row(rung: Rung) -> dict[str, Any]:
    return dataclasses.asdict(rung) | {"floats": list(rung.floats), "passed": rung.passed}


def without_latencies(report: Mapping[str, Any]) -> dict[str, Any]:
    """``report`` without the figures that differ between two runs of the same export."""
    rows = [{key: value for key, value in row.items() if key != "latency_ms"} for row in report["table"]]
    return {**report, "table": rows}


def table_lines(report: Mapping[str, Any]) -> list[str]:
    """The table of ``report`` as aligned lines, one for each rung; the chosen one is marked with ``*``."""
    rows = [("", "in float", "drop mean", "worst dB", "dB to fp32", "MB", "ms")]
    for row in report["table"]:
        mark = "*" if row["floats"] == report["float_groups"] else ""
        figures = (f"{row['mean_drop_db']:.3f}", f"{row['worst_drop_db']:.3f}", f"{row['psnr_db']:.1f}")
        groups = ", ".join(row["floats"]) or "none (int8)"
        rows.append((mark, groups, *figures, f"{row['size_mb']:.2f}", f"{row.get('latency_ms', 0):.1f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        f"{row[0]:<{widths[0]}} {row[1]:<{widths[1]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        for row in rows
    ]


def latency_ms(path: Path, backend: str, pixels: np.ndarray) -> float:
    """Median time in ms of five runs on ``pixels``, uint8 H x W x 3 of the graph's size, after one warm-up run."""
    with open_session(path, backend) as session:
        run_picture(session, pixels)
        return 1e3 * statistics.median(_seconds(lambda: run_picture(session, pixels)) for _ in range(TIMED_RUNS))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
