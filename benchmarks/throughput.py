"""Tiles a second of ``restore``, beside what the benchmark harness measures for the artifact alone.

python -m benchmarks.throughput ARTIFACT ...    -> benchmarks/results/throughput.md

Each artifact: the harness, an array to an array, and a folder of JPEG files to JPEG files take turns; one session with
the runtime's own number of threads, and a session of one thread for each core. Artifacts are .xml, .onnx or .tflite
files of elir-edge export.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from PIL import Image

from elir_edge.artifacts.artifact import Artifact, load_artifact
from elir_edge.bench.machine import describe_machine
from elir_edge.bench.measure import Worker
from elir_edge.bench.noise import ProcessorClock
from elir_edge.bench.statistics import ratio_of
from elir_edge.bench.sweep import artifact_contestant
from elir_edge.core.cores import usable_cores
from elir_edge.imaging.pictures import builtin_photograph
from elir_edge.imaging.tiling import tile_count
from elir_edge.runtime.backend import usual_backend
from elir_edge.runtime.base import Session
from elir_edge.runtime.batch import run_pictures
from elir_edge.runtime.mode import Mode
from elir_edge.runtime.session import open_session
from elir_edge.runtime.settings import Settings

RESULTS = Path(__file__).parent / "results"
SIDE = 1024
FILES = 2
HARNESS = "the harness: the artifact alone"


@dataclass
class Series:
    """One way to run tiles. ``run`` does a round and returns seconds a tile; ``rounds`` are what it returned."""

    label: str
    run: Callable[[], float]
    rounds: list[float] = field(default_factory=list)


def scene(side: int) -> np.ndarray:
    """A photograph repeated over ``side`` x ``side`` pixels, uint8."""
    photograph = builtin_photograph("astronaut")
    times = -(-side // min(photograph.shape[:2]))
    return np.ascontiguousarray(np.tile(photograph, (times, times, 1))[:side, :side])


def harness_round(worker: Worker) -> float:
    """Mean seconds of the runs of one round."""
    return statistics.fmean(worker.round())


def restore_round(sessions: list[Session], sources: list[np.ndarray | Path], tiles: int) -> float:
    """Seconds a tile to restore ``sources``, reading and writing included."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        pairs = [(one, Path(folder) / one.name if isinstance(one, Path) else None) for one in sources]
        failed = [result.error for result in run_pictures(pairs, sessions, "", Settings()) if result.error]
        if failed:
            raise click.ClickException(failed[0])
        return (time.perf_counter() - began) / tiles


def series_of(artifact: Artifact, folder: Path, stack: ExitStack) -> list[Series]:
    """The harness and four ways of ``restore``; what they open is closed with ``stack``."""
    backend, size = usual_backend(artifact.path).name, artifact.manifest.size
    worker = Worker(artifact_contestant(artifact, backend, Mode(), None))
    stack.callback(worker.close)
    found = [Series(HARNESS, lambda: harness_round(worker))]
    tiles = FILES * tile_count(SIDE, SIDE, (size[0], size[1]))
    arrays: list[np.ndarray | Path] = [scene(SIDE)] * FILES
    files: list[np.ndarray | Path] = [*sorted(folder.glob("*.jpg"))]
    for jobs, threads in ((1, None), (usable_cores(), 1)):
        sessions = [stack.enter_context(open_session(artifact.path, backend, threads)) for _ in range(jobs)]
        how = f"{jobs} sessions of 1 thread" if threads else "1 session"
        for what, sources in (("arrays", arrays), ("JPEG files", files)):
            found.append(Series(f"restore, {what}, {how}", round_of(sessions, sources, tiles)))
    return found


def round_of(sessions: list[Session], sources: list[np.ndarray | Path], tiles: int) -> Callable[[], float]:
    """A round of ``restore_round`` as a function without arguments."""
    return lambda: restore_round(sessions, sources, tiles)


def measure(artifact: Artifact, rounds: int, folder: Path) -> list[str]:
    """Rows of the table for one artifact."""
    with ExitStack() as stack:
        every = series_of(artifact, folder, stack)
        for series in every:
            series.run()
        for _ in range(rounds):
            for series in every:
                series.rounds.append(series.run())
    return [table_row(artifact.path.name, every[0], series) for series in every]


def table_row(name: str, base: Series, series: Series) -> str:
    """One row: tiles a second at the median round, and the quartiles of the ratio to ``base``."""
    low, middle, high = ratio_of(base.rounds, series.rounds)
    speed = 1 / statistics.median(series.rounds)
    return f"| {name} | {series.label} | {speed:.1f} | {middle:.2f} [{low:.2f}, {high:.2f}] |"


@click.command()
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", type=click.IntRange(2), default=9, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(artifacts: tuple[Path, ...], rounds: int, out: Path) -> None:
    """Measure, and write the table."""
    clock = ProcessorClock()
    with tempfile.TemporaryDirectory() as folder:
        for i in range(FILES):
            Image.fromarray(scene(SIDE)).save(Path(folder) / f"{i}.jpg", quality=95)
        rows = [row for path in artifacts for row in measure(load_artifact(path), rounds, Path(folder))]
    lines = [
        "# Tiles a second: restore beside the harness",
        "",
        f"Pictures of {SIDE} x {SIDE} pixels, {FILES} a round, {rounds} rounds in turn. The last column is the median",
        "of the ratio of a round to the harness's round before it, and its quartiles.",
        "",
        "| artifact | what | tiles a second | of the harness |",
        "|---|---|---|---|",
        *rows,
        "",
        f"Other processes took {clock.others() or 0:.0%} of the processor.",
        "",
        describe_machine(),
        "",
    ]
    (out / "throughput.md").write_text("\n".join(lines), encoding="utf-8")
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
