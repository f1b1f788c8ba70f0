"""Climbing from int8 towards float, group after group, until an artifact keeps to its limits."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.errors import missing_package
from elir_edge.quantize.plan import Limits
from elir_edge.runtime.restore import run_picture
from elir_edge.runtime.session import open_session
from elir_edge.validation.result import Validation

TIMED_RUNS = 5
DRAWING_DPI = 150


@dataclass(frozen=True)
class Rung:
    """An artifact with the groups ``floats`` in float, as it was measured.

    ``mean_drop_db`` and ``worst_drop_db`` against the ground truth, ``psnr_db`` to PyTorch fp32 on the worst picture,
    ``size_mb`` of all files, ``latency_ms`` of a picture on the machine that exported; ``passed``: the gate of the
    precision.
    """

    floats: tuple[str, ...]
    mean_drop_db: float
    worst_drop_db: float
    psnr_db: float
    size_mb: float
    latency_ms: float
    passed: bool

    @classmethod
    def of(cls, floats: tuple[str, ...], validation: Validation, size_bytes: int, latency_ms: float) -> Rung:
        """From a validation that knows the originals, rounded to what is shown."""
        return cls(
            floats,
            round(validation.mean_drop_db or 0.0, 4),
            round(validation.worst_drop_db or 0.0, 4),
            round(validation.pictures[validation.worst].psnr_db, 1),
            round(size_bytes / 1e6, 3),
            round(latency_ms, 1),
            validation.passed,
        )

    def affordable(self, limits: Limits) -> bool:
        """Whether size and latency are within their budgets."""
        budgets = ((self.size_mb, limits.max_size_mb), (self.latency_ms, limits.max_latency_ms))
        return all(limit is None or value <= limit for value, limit in budgets)

    def keeps(self, limits: Limits) -> bool:
        """Whether it may be published: within every limit and the gate."""
        reached = limits.max_drop_db is None or self.mean_drop_db <= limits.max_drop_db
        return self.passed and reached and self.affordable(limits)


def climb(losses: Mapping[str, float], limits: Limits, measured: Callable[[tuple[str, ...]], Rung]) -> list[Rung]:
    """Measure int8, then keep one group more in float each time, the one with the largest error first.

    Args:
        losses: of each group by itself, dB to float: the smallest is the most harmful.
        limits: with a drop to reach, the climb ends as soon as all limits are kept; without, every rung is measured.
        measured: makes and measures the artifact with these groups in float.

    The last group is never taken: an artifact all in float is another precision.
    """
    order = sorted(losses, key=lambda name: losses[name])
    rungs: list[Rung] = []
    for count in range(len(order)):
        rungs.append(measured(tuple(order[:count])))
        if limits.max_drop_db is not None and rungs[-1].keeps(limits):
            break
    return rungs


def best_of(rungs: Sequence[Rung], limits: Limits) -> Rung:
    """The least drop among the rungs that keep to every limit, else among those in budget, else among all."""
    kept = [rung for rung in rungs if rung.keeps(limits)]
    affordable = [rung for rung in rungs if rung.affordable(limits)]
    return min(kept or affordable or rungs, key=lambda rung: rung.mean_drop_db)


def report_of(losses: Mapping[str, float], rungs: Sequence[Rung], chosen: Rung, limits: Limits) -> dict[str, Any]:
    """What the manifest says of the search, plain data."""
    return {
        "limits": dataclasses.asdict(limits),
        "losses_db": {name: round(loss, 1) for name, loss in losses.items()},
        "float_groups": list(chosen.floats),
        "table": [dataclasses.asdict(rung) | {"floats": list(rung.floats)} for rung in rungs],
    }


def timeless(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report without what differs between two runs of the same export."""
    rows = [{key: value for key, value in row.items() if key != "latency_ms"} for row in report["table"]]
    return {**report, "table": rows}


def table_lines(report: Mapping[str, Any]) -> list[str]:
    """The table of a report as aligned text, one line a rung, the chosen one marked."""
    rows = [("", "in float", "drop mean", "worst dB", "dB to fp32", "MB", "ms")]
    for row in report["table"]:
        mark = "*" if row["floats"] == report["float_groups"] else ""
        figures = (f"{row['mean_drop_db']:.3f}", f"{row['worst_drop_db']:.3f}", f"{row['psnr_db']:.1f}")
        rows.append((mark, _named(row), *figures, f"{row['size_mb']:.2f}", f"{row.get('latency_ms', 0):.1f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        f"{row[0]:<{widths[0]}} {row[1]:<{widths[1]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True))
        for row in rows
    ]


def latency_of(path: Path, backend: str, pixels: np.ndarray) -> float:
    """The median time of a picture (uint8 H x W x 3 of the graph's size) in milliseconds, after one that warms up."""
    with open_session(path, backend) as session:
        run_picture(session, pixels)
        return 1e3 * statistics.median(_timed(lambda: run_picture(session, pixels)) for _ in range(TIMED_RUNS))


def pareto_path(path: Path) -> Path:
    """Where the drawing beside an artifact lies."""
    return path.with_name(f"{path.name}.pareto.png")


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draw drop over size and over latency as a PNG. Raises UnavailableError where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_package("matplotlib", "quantize") from error
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    limits = report["limits"]
    axes = figure.subplots(1, 2, sharey=True)
    for axis, key, limit, label in (
        (axes[0], "size_mb", limits["max_size_mb"], "MB"),
        (axes[1], "latency_ms", limits["max_latency_ms"], "ms a picture, where it was exported"),
    ):
        for row in report["table"]:
            place = (row[key], row["mean_drop_db"])
            chosen = row["floats"] == report["float_groups"]
            axis.plot(*place, "*" if chosen else "o", color="C0", markersize=14 if chosen else 6)
            text = f"+ {row['floats'][-1]}" if row["floats"] else "int8"
            axis.annotate(text, place, xytext=(0, 8), textcoords="offset points", ha="center")
        if limit is not None:
            axis.axvline(limit, color="grey", linestyle="--")
        if limits["max_drop_db"] is not None:
            axis.axhline(limits["max_drop_db"], color="grey", linestyle="--")
        axis.margins(0.25)
        axis.set_xlabel(label)
    axes[0].set_ylabel("dB lost against the ground truth, mean")
    figure.savefig(path, dpi=DRAWING_DPI, metadata={"Software": None})


def _named(row: Mapping[str, Any]) -> str:
    return ", ".join(row["floats"]) or "none (int8)"


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
