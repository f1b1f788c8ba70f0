"""Our artifacts against PyTorch eager and compiled, plain exports, stock quantizers and ncnn, in one run.

python -m benchmarks.peers [PRESET]    -> benchmarks/results/peers_PRESET.{md,json,svg,html}

Same machine, same run, same pictures, rows taking turns; parity with PyTorch is stated for all. Conversions are kept
in build/peers/PRESET and not repeated.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from benchmarks.conversions import PEERS, Peer
from elir_edge.artifacts.artifact import Artifact, load_artifact
from elir_edge.bench.charts import speed_plot
from elir_edge.bench.measure import Contestant
from elir_edge.bench.report import html_report
from elir_edge.bench.results import Results, Row
from elir_edge.bench.sweep import (
    Gallery,
    Plan,
    artifact_contestant,
    make_results,
    model_of,
    run_section,
    torch_contestant,
)
from elir_edge.bench.table import markdown
from elir_edge.cli.shared import Shown
from elir_edge.families.spec import load_spec
from elir_edge.runtime.mode import Mode

RESULTS = Path(__file__).parent / "results"
OURS = (("onnx", "onnxruntime"), ("openvino", "openvino"), ("tflite", "litert"))
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "tflite": ".tflite"}
FORMS = ("eager", "eager+channels_last", "compile", "compile+channels_last")


@click.command()
@click.argument("preset", default="nano")
@click.option("--weights", help="Default: the preset's own; random:0 where those cannot be fetched.")
@click.option("--rounds", type=click.IntRange(2), default=10, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Default: all cores.")
@click.option("--precision", "precisions", multiple=True, default=("fp32", "int8"), show_default=True, help="Of ours.")
@click.option("--only", multiple=True, type=click.Choice(sorted(PEERS)), help="These peers only.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/peers"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(
    preset: str,
    weights: str | None,
    rounds: int,
    threads: int | None,
    precisions: tuple[str, ...],
    only: tuple[str, ...],
    folder: Path,
    out: Path,
) -> None:
    """Convert in every way, measure all, and write the table, the plot and the page."""
    shown = Shown()
    weights = weights or load_spec(preset).weights or "random:0"
    place = folder / preset
    place.mkdir(parents=True, exist_ok=True)
    ours, failures = _export_ours(place, preset, weights, precisions, shown)
    manifest = ours[0][0].manifest
    contestants = [torch_contestant(manifest, form, [weights], threads) for form in FORMS]
    contestants += [_ours(artifact, backend, label, threads) for artifact, backend, label in ours]
    for name in only or PEERS:
        peer, path = PEERS[name], place / PEERS[name].file
        error = _convert(path, ["benchmarks.conversions", name, preset, weights, str(place)], peer.label, shown)
        contestant = _peer(peer, path, manifest.graph["gflop"], manifest.size, threads)
        if error:
            failures.append(Row(**{**vars(contestant.row), "error": error}))
        else:
            contestants.append(contestant)
    plan = Plan(threads=threads, rounds=rounds)
    section, gallery, peaks = run_section(model_of(manifest), contestants, manifest, plan, shown)
    section.rows.extend(failures)
    _write(out, f"peers_{preset}", make_results([section], plan, peaks), gallery)


def _export_ours(
    place: Path, preset: str, weights: str, precisions: tuple[str, ...], shown: Shown
) -> tuple[list[tuple[Artifact, str, str]], list[Row]]:
    """(artifact, backend, label) of our exports, and a row for each that failed."""
    ours: list[tuple[Artifact, str, str]] = []
    failures: list[Row] = []
    for target, backend in OURS:
        for precision in precisions:
            path = place / f"ours-{precision}{SUFFIXES[target]}"
            command = ["elir_edge", "export", "-t", target, "--precision", precision, "-p", preset, "-w", weights]
            label = f"elir-edge {target} {precision} in {backend}"
            error = _convert(path, [*command, "-o", str(path)], label, shown)
            if error:
                failures.append(Row(label, 0.0, str(path), backend, precision=precision, error=error))
            else:
                ours.append((load_artifact(path), backend, label))
    return ours, failures


def _convert(path: Path, module: list[str], label: str, shown: Shown) -> str | None:
    """Run a conversion in a process of its own unless its file exists; returns why it failed, or None."""
    if path.is_file():
        return None
    with shown.stage(f"converting: {label}"):
        done = subprocess.run([sys.executable, "-m", *module], capture_output=True, text=True)
    if done.returncode == 0:
        return None
    path.unlink(missing_ok=True)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return f"{label}: {lines[-1].strip() if lines else f'status {done.returncode}'}"


def _ours(artifact: Artifact, backend: str, label: str, threads: int | None) -> Contestant:
    contestant = artifact_contestant(artifact, backend, Mode(), threads)
    return Contestant(Row(**{**vars(contestant.row), "label": label}), contestant.request)


def _peer(peer: Peer, path: Path, gflop: float, size: tuple[int, int], threads: int | None) -> Contestant:
    files = [path, path.with_suffix(".bin")] if path.suffix in (".xml", ".param") else [path]
    count = sum(file.stat().st_size for file in files if file.is_file())
    row = Row(peer.label, gflop, str(path), peer.backend, precision=peer.precision, threads=threads, size_bytes=count)
    kind = "ncnn" if peer.backend == "ncnn" else "file"
    return Contestant(row, {"kind": kind, "path": str(path), "backend": peer.backend, "size": size, "threads": threads})


def _write(folder: Path, name: str, results: Results, gallery: Gallery) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"md": markdown(results), "json": results.to_json(), "svg": speed_plot(results)}
    texts["html"] = html_report(results, [gallery])
    for ending, text in texts.items():
        (folder / f"{name}.{ending}").write_text(text, encoding="utf-8")
    click.echo(texts["md"])


if __name__ == "__main__":
    main()
