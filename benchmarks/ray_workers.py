"""Pictures a second of ``restore`` in one process and on a local Ray of one and two workers.

python -m benchmarks.ray_workers ARTIFACT    -> benchmarks/results/ray_workers.md

All ways take turns on the same pictures, sessions of one thread each. Ray itself runs already; what a run spends until
its first result (workers that start and load the artifact) is a column of its own.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import click
from PIL import Image

from benchmarks.throughput import RESULTS, scene
from elir_edge.bench.machine import describe_machine
from elir_edge.bench.noise import ProcessorClock
from elir_edge.core.files import sha256_of
from elir_edge.runtime.batch import restore
from elir_edge.runtime.ray_engine import QUIET, ROWS_A_TASK, restore_on_ray, start_ray
from elir_edge.runtime.ray_worker import Job
from elir_edge.runtime.work import Restored

WORKERS = (1, 2)
SHAPE = (480, 480)


def make_pictures(folder: Path, count: int) -> None:
    """``count`` JPEG files of ``SHAPE`` pixels."""
    pixels = scene(SHAPE[0] + count)
    for i in range(count):
        Image.fromarray(pixels[i : i + SHAPE[0], i : i + SHAPE[1]]).save(folder / f"{i:04}.jpg", quality=95)


def time_results(results: Iterable[Restored]) -> tuple[float, float]:
    """Seconds to the first result, and to the end. Raises ClickException where a picture failed."""
    began, first = time.perf_counter(), 0.0
    for result in results:
        first = first or time.perf_counter() - began
        if result.error:
            raise click.ClickException(result.error)
    return first, time.perf_counter() - began


def run_once(workers: int, artifact: Path, folder: Path, out: Path) -> tuple[float, float]:
    """A run with ``workers`` on Ray; 0: one process."""
    if workers == 0:
        return time_results(restore(folder, artifact, out, threads=1))
    pairs = [(path, out / path.name) for path in sorted(folder.glob("*.jpg"))]
    return time_results(restore_on_ray(pairs, Job(artifact, out, sha256_of(artifact)), workers))


def table_row(label: str, runs: list[tuple[float, float]], count: int) -> str:
    """Medians over the rounds."""
    first = statistics.median(run[0] for run in runs)
    whole = statistics.median(run[1] for run in runs)
    return f"| {label} | {whole:.1f} | {count / whole:.2f} | {first:.1f} |"


@click.command()
@click.argument("artifact", type=click.Path(exists=True, path_type=Path))
@click.option("--pictures", "count", type=click.IntRange(2), default=12 * ROWS_A_TASK, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(artifact: Path, count: int, rounds: int, out: Path) -> None:
    """Measure, and write the table."""
    os.environ.update(QUIET)
    import ray

    start_ray(address="local", num_cpus=max(WORKERS) + 1, include_dashboard=False)
    clock = ProcessorClock()
    ways = {0: "one process", **{workers: f"Ray, workers: {workers}" for workers in WORKERS}}
    runs: dict[int, list[tuple[float, float]]] = {workers: [] for workers in ways}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "in"
        folder.mkdir()
        make_pictures(folder, count)
        for turn in range(rounds):
            for workers in ways:
                runs[workers].append(run_once(workers, artifact.resolve(), folder, Path(place) / f"{turn}-{workers}"))
    ray.shutdown()
    lines = [
        "# Ray beside one process",
        "",
        f"{artifact.name}, {count} JPEG files of {SHAPE[1]} x {SHAPE[0]} pixels, one thread a session; medians of"
        f" {rounds} rounds in turn.",
        "",
        "| how | seconds in all | pictures a second | seconds to the first result |",
        "|---|---|---|---|",
        *[table_row(label, runs[workers], count) for workers, label in ways.items()],
        "",
        f"All other processes, Ray's own and its workers' among them, took {clock.others() or 0:.0%} of the processor.",
        "",
        describe_machine(),
        "",
    ]
    (out / "ray_workers.md").write_text("\n".join(lines), encoding="utf-8")
    click.echo("\n".join(lines))


if __name__ == "__main__":
    main()
