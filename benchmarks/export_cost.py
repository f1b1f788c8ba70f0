"""Cost of exports: wall time and peak memory of each target and precision, each in a process of its own.

python -m benchmarks.export_cost [PRESET ...] [--precision int8 ...]    -> benchmarks/results/export_cost.md

Rows are kept in export_cost.json beside it: presets and precisions measured now replace theirs, others stay.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from elir_edge.artifacts.artifact import load_artifact
from elir_edge.bench.machine import describe_machine
from elir_edge.families.spec import load_spec
from elir_edge.pipeline.target import targets

RESULTS = Path(__file__).parent / "results"
TRAINED = ("nano", "small", "latent-pmrf-nano")
LIMITS = {"sr": (60, 6), "bfr": (120, 8)}


@dataclass(frozen=True)
class Cost:
    """One export: seconds from start to exit, GiB at the peak, MB written, and its parity; or why it failed."""

    preset: str
    target: str
    precision: str
    seconds: float
    peak_gib: float
    megabytes: float
    size_factor: float
    max_abs: float | None
    psnr_db: float | None
    error: str = ""


def measure_export(preset: str, target: str, precision: str) -> Cost:
    """Run ``elir-edge export`` in a child process and read its resource usage."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"{preset}{targets()[target].suffixes[0]}"
        weights = load_spec(preset).weights if preset in TRAINED else "random:0"
        command = ["export", "-t", target, "-p", preset, "-w", weights, "-o", str(out), "--precision", precision]
        said = Path(folder) / "said.txt"
        start = time.perf_counter()
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "elir_edge", *command],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, fd, str(said), os.O_WRONLY | os.O_CREAT, 0o600) for fd in (1, 2)],
        )
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - start
        peak = usage.ru_maxrss / 2**20
        if status:
            code = os.waitstatus_to_exitcode(status)
            return Cost(preset, target, precision, seconds, peak, 0, 0, 0, 0, f"exit {code}: {said.read_text()[-300:]}")
        artifact = load_artifact(out)
        parity = artifact.manifest.parity or {}
        factor = artifact.size_bytes / (4 * artifact.manifest.graph["parameters"])
        megabytes = artifact.size_bytes / 1e6
        return Cost(
            preset, target, precision, seconds, peak, megabytes, factor, parity.get("max_abs"), parity.get("psnr_db")
        )


def table(costs: list[Cost]) -> str:
    """The figures as Markdown."""
    lines = [
        "# What an export costs",
        "",
        "Whole command, imports and the comparison with PyTorch on a photograph included;",
        "nano with its trained weights, the others with stand-ins.",
        "",
        "| preset | target | precision | seconds | allowed | peak GiB | allowed | MB | bytes / (4 x numbers) "
        "| max abs | dB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        seconds, gib = LIMITS.get(cost.preset, ("", "")) if cost.precision == "fp32" else ("", "")
        begin = f"| {cost.preset} | {cost.target} | {cost.precision} | {cost.seconds:.1f} | {seconds} "
        begin += f"| {cost.peak_gib:.2f} | {gib} "
        if cost.error:
            lines.append(f"{begin}| failed: {' '.join(cost.error.split())} | | | |")
        else:
            told = "not compared | " if cost.psnr_db is None else f"{cost.max_abs:.1e} | {cost.psnr_db:.0f}"
            lines.append(f"{begin}| {cost.megabytes:.1f} | {cost.size_factor:.4f} | {told} |")
    return "\n".join([*lines, "", describe_machine(), ""])


@click.command()
@click.argument("presets", nargs=-1)
@click.option("--precision", "precisions", multiple=True, default=("fp32",), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(presets: tuple[str, ...], precisions: tuple[str, ...], out: Path) -> None:
    """Measure every target for PRESETS. Default: nano, sr and bfr."""
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "export_cost.json"
    known = [Cost(**item) for item in json.loads(kept.read_text())] if kept.is_file() else []
    costs = {(cost.preset, cost.target, cost.precision): cost for cost in known}
    wanted = [
        (preset, target.name, precision)
        for preset in presets or ("nano", "sr", "bfr")
        for target in targets().values()
        for precision in precisions
        if precision in target.precisions
    ]
    for key in wanted:
        cost = costs[key] = measure_export(*key)
        click.echo(f"{' '.join(key)}: {cost.seconds:.1f} s, {cost.peak_gib:.2f} GiB {cost.error}", err=True)
        kept.write_text(json.dumps([asdict(item) for item in costs.values()], indent=1) + "\n")
    (out / "export_cost.md").write_text(table(list(costs.values())))
    click.echo(table(list(costs.values())))


if __name__ == "__main__":
    main()
