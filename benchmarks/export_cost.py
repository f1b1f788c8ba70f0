"""What an export costs: wall time and peak memory of each target, each in a process of its own.

python -m benchmarks.export_cost [PRESET ...]     -> benchmarks/results/export_cost.md
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

from elir_edge.artifact import load_artifact
from elir_edge.bench.machine import describe_machine
from elir_edge.target import targets

RESULTS = Path(__file__).parent / "results"
LIMITS = {"sr": (60, 6), "bfr": (120, 8)}


@dataclass(frozen=True)
class Cost:
    """One export: seconds from start to exit, GiB at the peak, MB written, and its parity."""

    preset: str
    target: str
    seconds: float
    peak_gib: float
    megabytes: float
    size_factor: float
    max_abs: float


def measure_export(preset: str, target: str) -> Cost:
    """Run ``elir-edge export`` in a child and ask the kernel what it took. Raises RuntimeError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"{preset}{targets()[target].suffixes[0]}"
        command = ["export", "-t", target, "-p", preset, "-w", "random:0", "-o", str(out), "--json"]
        start = time.perf_counter()
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "elir_edge", *command],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)],
        )
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - start
        if status:
            raise RuntimeError(f"exporting {preset} to {target} failed with status {os.waitstatus_to_exitcode(status)}")
        artifact = load_artifact(out)
        parity = artifact.manifest.parity or {}
        factor = artifact.size_bytes / (4 * artifact.manifest.graph["parameters"])
        peak = usage.ru_maxrss / 2**20
        return Cost(preset, target, seconds, peak, artifact.size_bytes / 1e6, factor, parity["max_abs"])


def table(costs: list[Cost]) -> str:
    """The figures as Markdown."""
    lines = [
        "# What an export costs",
        "",
        "Whole command, imports and the comparison with PyTorch on a photograph included; fp32, stand-in weights.",
        "",
        "| preset | target | seconds | allowed | peak GiB | allowed | MB | bytes / (4 x numbers stored) | max abs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        seconds, gib = LIMITS.get(cost.preset, ("", ""))
        lines.append(
            f"| {cost.preset} | {cost.target} | {cost.seconds:.1f} | {seconds} | {cost.peak_gib:.2f} | {gib} "
            f"| {cost.megabytes:.1f} | {cost.size_factor:.4f} | {cost.max_abs:.1e} |"
        )
    return "\n".join([*lines, "", describe_machine(), ""])


@click.command()
@click.argument("presets", nargs=-1)
def main(presets: tuple[str, ...]) -> None:
    """Measure every target for PRESETS (nano, sr and bfr unless told otherwise)."""
    costs = []
    for preset in presets or ("nano", "sr", "bfr"):
        for target in targets():
            costs.append(measure_export(preset, target))
            click.echo(f"{preset} {target}: {costs[-1].seconds:.1f} s, {costs[-1].peak_gib:.2f} GiB", err=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "export_cost.md").write_text(table(costs))
    click.echo(table(costs))


if __name__ == "__main__":
    main()
