"""The drawing of a search for a mixture: what each rung costs and loses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elir_edge.errors import missing_package

DRAWING_DPI = 150


def pareto_path(path: Path) -> Path:
    """Path of the drawing beside the artifact at ``path``."""
    return path.with_name(f"{path.name}.pareto.png")


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write a PNG to ``path``: mean drop over size and over latency, one point for each rung of ``report``.

    Raises UnavailableError where matplotlib is not installed.
    """
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
