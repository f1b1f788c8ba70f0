"""Growth of the cost with the steps K, the size of the picture, threads, the size of the model, and the batch.

python -m benchmarks.growth [AXIS ...]    -> benchmarks/results/growth_AXIS.{md,json} and growth.png

Axes: steps, size, threads, model, batch; all unless some are named. Points of an axis take turns. Artifacts come from
build/growth, where they are made once, and carry the parity that was measured when they were made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from elir_edge.artifacts.artifact import Artifact
from elir_edge.bench.machine import describe_machine
from elir_edge.bench.measure import Contestant, measure
from elir_edge.bench.results import Results, Row, Section, load_results
from elir_edge.bench.sweep import Plan, artifact_contestant, make_results, model_of, torch_contestant
from elir_edge.cli.shared import Shown
from elir_edge.core.cores import usable_cores
from elir_edge.families.spec import ModelSpec, load_spec
from elir_edge.families.weights import load_restorer
from elir_edge.pipeline.export import export
from elir_edge.runtime.mode import Mode

RESULTS = Path(__file__).parent / "results"
BUILD = Path("build/growth")
BACKENDS = ("onnxruntime", "openvino")
STEPS = (1, 2, 3, 4, 5)
SIZES = (128, 256, 384, 512, 768, 1024)
MODELS = ("nano", "small", "bsr", "sr", "bfr")
BATCHES = (1, 2, 4, 8)
STAND_IN = "random:0"
Points = list[tuple[str, Contestant]]


def steps_axis(shown: Shown) -> Points:
    """nano with K = 1 .. 5, the same weights."""
    spec = load_spec("nano")
    specs = [dataclasses.replace(spec, name=f"nano-k{steps}", steps=steps) for steps in STEPS]
    return [point for item in specs for point in _points(str(item.steps), _artifact(item, spec.weights, None, shown))]


def size_axis(shown: Shown) -> Points:
    """nano on squares of 128 .. 1024 pixels."""
    spec = load_spec("nano")
    return [point for side in SIZES for point in _points(str(side), _artifact(spec, spec.weights, side, shown))]


def threads_axis(shown: Shown) -> Points:
    """nano on 1 .. all cores, a power of two each time, and all."""
    spec, cores = load_spec("nano"), usable_cores()
    counts = sorted({*(2**i for i in range(cores.bit_length())), cores})
    artifact = _artifact(spec, spec.weights, None, shown)
    return [point for count in counts for point in _points(str(count), artifact, count)]


def model_axis(shown: Shown) -> Points:
    """The presets at their own sizes, with stand-in weights."""
    specs = [load_spec(name) for name in MODELS]
    return [point for spec in specs for point in _points(spec.name, _artifact(spec, STAND_IN, None, shown))]


def batch_axis(shown: Shown) -> Points:
    """Several pictures at once, in PyTorch: artifacts hold one picture; OpenVINO's throughput runs several requests."""
    spec = load_spec("nano")
    artifact = _artifact(spec, spec.weights, None, shown)
    forms = ("eager", "eager+channels_last")
    points = [
        (str(batch), torch_contestant(artifact.manifest, form, [str(spec.weights)], None, batch=batch))
        for batch in BATCHES
        for form in forms
    ]
    throughput = artifact_contestant(artifact, "openvino", Mode(hint="throughput"), None)
    return [*points, ("1 a request, side by side", throughput)]


AXES: dict[str, tuple[str, Callable[[Shown], Points]]] = {
    "steps": ("steps K", steps_axis),
    "size": ("side in pixels", size_axis),
    "threads": ("threads", threads_axis),
    "model": ("model", model_axis),
    "batch": ("pictures at once", batch_axis),
}


@click.command()
@click.argument("axes", nargs=-1, type=click.Choice(sorted(AXES)))
@click.option("--rounds", type=click.IntRange(2), default=6, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(axes: tuple[str, ...], rounds: int, out: Path) -> None:
    """Measure the axes, write a table for each, and draw all axes that have results into one picture."""
    shown = Shown()
    out.mkdir(parents=True, exist_ok=True)
    for name in axes or AXES:
        results = _measure(AXES[name][1](shown), rounds, shown)
        (out / f"growth_{name}.json").write_text(results.to_json(), encoding="utf-8")
        (out / f"growth_{name}.md").write_text(_table(name, results), encoding="utf-8")
        click.echo(_table(name, results))
    _draw(out)


def _artifact(spec: ModelSpec, weights: str | None, side: int | None, shown: Shown) -> Artifact:
    """The ONNX artifact, which two runtimes run."""
    BUILD.mkdir(parents=True, exist_ok=True)
    restorer = load_restorer(spec, weights)
    kind = "stand-in" if weights == STAND_IN else "trained"
    out = BUILD / f"{spec.name}-{side or spec.size}-{kind}.onnx"
    return export(restorer, "onnx", size=side, out=out, force=True, progress=shown)


def _points(at: str, artifact: Artifact, threads: int | None = None) -> Points:
    return [(at, artifact_contestant(artifact, backend, Mode(), threads)) for backend in BACKENDS]


def _measure(points: Points, rounds: int, shown: Shown) -> Results:
    """Measure all points; the position on the axis is put before the label."""
    contestants = [
        Contestant(dataclasses.replace(item.row, label=f"{at} | {_series(item.row)}"), item.request)
        for at, item in points
    ]
    measured = measure(contestants, rounds, shown)
    model = model_of(_manifest_of(points))
    return make_results([Section(model, measured.rows, measured.noise)], Plan(rounds=rounds), measured.peaks)


def _series(row: Row) -> str:
    return row.label if row.backend == "torch" else " ".join([row.backend, *(["throughput"] * (row.hint != "latency"))])


def _manifest_of(points: Points) -> Any:
    from elir_edge.artifacts.artifact import load_artifact

    return next(load_artifact(item.row.artifact).manifest for _, item in points if item.row.artifact)


def _table(name: str, results: Results) -> str:
    axis = AXES[name][0]
    lines = [
        f"# How cost grows with: {axis}",
        "",
        f"| {axis} | in | GFLOP a picture | ms a picture | FPS | GFLOP/s | of peak | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results.rows:
        at, _, series = row.label.partition(" | ")
        if row.latency is None:
            lines.append(f"| {at} | {series} | {row.gflop:.1f} | failed: {row.error} | | | | |")
            continue
        roof = row.of_roof(results.peaks)
        figures = (
            f"{row.gflop:.1f}", f"{1000 * row.latency.p50:.1f}", f"{row.latency.fps:.2f}", f"{row.gflops():.0f}",
            "" if roof is None else f"{roof:.0%}", f"{(row.peak_bytes or 0) / 1e6:.0f}",
        )  # fmt: skip
        lines.append(f"| {at} | {series} | {' | '.join(figures)} |")
    noise = results.sections[0].noise.verdict()
    return "\n".join([*lines, "", noise, "", describe_machine(results.machine), ""])


def _draw(folder: Path) -> None:
    """A panel for each axis that has results."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = [name for name in AXES if (folder / f"growth_{name}.json").is_file()]
    figure, panels = pyplot.subplots(1, len(found), figsize=(4.2 * len(found), 3.8), squeeze=False)
    for name, panel in zip(found, panels[0], strict=True):
        _panel(panel, name, load_results(folder / f"growth_{name}.json"))
    figure.tight_layout()
    figure.savefig(folder / "growth.png", dpi=120)


def _panel(panel: Any, name: str, results: Results) -> None:
    series: dict[str, list[tuple[str, float]]] = {}
    for row in results.rows:
        at, _, label = row.label.partition(" | ")
        if row.latency:
            series.setdefault(label, []).append((at.partition(" ")[0], 1000 * row.latency.p50))
    for label, points in series.items():
        panel.plot([at for at, _ in points], [value for _, value in points], marker="o", label=label)
    panel.set_xlabel(AXES[name][0])
    panel.set_ylabel("ms a picture")
    panel.set_yscale("log" if name in ("size", "model") else "linear")
    if name not in ("size", "model"):
        panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)


if __name__ == "__main__":
    main()
