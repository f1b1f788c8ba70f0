"""Split artifacts beside unrolled ones: equality, export seconds at two K, file size and pictures per second.

python -m benchmarks.split [--preset latent-pmrf-nano] [--size 256]    -> benchmarks/results/split.md
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from elir_edge import export, load_restorer, open_session
from elir_edge.artifacts.artifact import Artifact
from elir_edge.bench.machine import describe_machine
from elir_edge.families.restorer import Restorer
from elir_edge.imaging.pictures import builtin_photograph
from elir_edge.runtime.base import Session
from elir_edge.runtime.restore import run_picture

RESULTS = Path(__file__).parent / "results"
FORMATS = ("onnx", "openvino", "tflite")
FEW, MANY = 5, 25


@dataclass(frozen=True)
class Made:
    """An artifact, and the seconds that its export took, the comparison with PyTorch included."""

    artifact: Artifact
    seconds: float


@dataclass(frozen=True)
class SplitRow:
    """One format: ``seconds`` and ``megabytes`` by (form, K), ``fps`` by form at K 5, largest difference of pixels."""

    target: str
    seconds: dict[tuple[str, int], float]
    megabytes: dict[tuple[str, int], float]
    fps: dict[str, float]
    largest: float


def measure_format(restorer: Restorer, target: str, size: int, folder: Path) -> SplitRow:
    """Export both forms at both K; compare and time those of K = 5."""
    made: dict[tuple[str, int], Made] = {}
    for steps in (FEW, MANY):
        for form in ("unrolled", "split"):
            made[form, steps] = _export(restorer, target, size, steps, form == "split", folder / f"{form}-{steps}")
    pixels = builtin_photograph("astronaut")[:size, :size]
    paths = {form: made[form, FEW].artifact.path for form in ("unrolled", "split")}
    with open_session(paths["unrolled"]) as whole, open_session(paths["split"]) as parts:
        largest = float(np.abs(run_picture(parts, pixels) - run_picture(whole, pixels)).max())
        fps = _rates({"unrolled": whole, "split": parts}, pixels)
    return SplitRow(
        target,
        {key: item.seconds for key, item in made.items()},
        {key: item.artifact.size_bytes / 1e6 for key, item in made.items()},
        fps,
        largest,
    )


def _export(restorer: Restorer, target: str, size: int, steps: int, split: bool, out: Path) -> Made:
    restorer.spec = dataclasses.replace(restorer.spec, steps=steps)
    out.mkdir()
    start = time.perf_counter()
    artifact = export(restorer, target, size=size, out=out, split=split)
    return Made(artifact, time.perf_counter() - start)


def _rates(sessions: dict[str, Session], pixels: np.ndarray, rounds: int = 7) -> dict[str, float]:
    """Pictures per second, in turns; the median of the rounds after the first."""
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 1):
        for name, session in sessions.items():
            start = time.perf_counter()
            run_picture(session, pixels)
            seconds[name].append(time.perf_counter() - start)
    return {name: 1 / statistics.median(values[1:]) for name, values in seconds.items()}


def table(rows: list[SplitRow]) -> str:
    """The rows as Markdown."""
    lines = [
        f"| format | largest difference, K = {FEW} | export s, K = {FEW} | K = {MANY} | MB, K = {FEW} | K = {MANY} "
        f"| pictures/s, K = {FEW} |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seconds, sizes = (
            [f"{values['unrolled', k]:.{digits}f} / {values['split', k]:.{digits}f}" for k in (FEW, MANY)]
            for values, digits in ((row.seconds, 1), (row.megabytes, 2))
        )
        rates = f"{row.fps['unrolled']:.2f} / {row.fps['split']:.2f}"
        lines.append(f"| {row.target} | {row.largest:.1e} | {' | '.join([*seconds, *sizes])} | {rates} |")
    return "\n".join(lines)


@click.command()
@click.option("--preset", default="latent-pmrf-nano", show_default=True)
@click.option("--weights", default=None, help="Default: the preset's own.")
@click.option("--size", type=int, default=256, show_default=True)
@click.option("--target", "wanted", multiple=True, default=FORMATS, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(preset: str, weights: str | None, size: int, wanted: tuple[str, ...], out: Path) -> None:
    """Measure every format for PRESET."""
    rows = []
    for target in wanted:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure_format(load_restorer(preset, weights), target, size, Path(folder)))
        click.echo(table(rows), err=True)
    title = f"# {preset}, {size} x {size}, fp32: unrolled / split\n\nExports with their comparison with PyTorch."
    out.mkdir(parents=True, exist_ok=True)
    (out / "split.md").write_text(f"{title}\n\n{table(rows)}\n\n{describe_machine()}\n")


if __name__ == "__main__":
    main()
