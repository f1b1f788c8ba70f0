"""elir-edge bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.bench_outputs import Outputs
from elir_edge.cli.comparison import show_comparison
from elir_edge.cli.shared import (
    PATH,
    Shown,
    echo_json,
    echo_table,
    json_option,
    load_model,
    model_options,
    open_artifact,
    refuse_given,
)
from elir_edge.errors import MissingInputError, UnavailableError, UsageError

if TYPE_CHECKING:
    from elir_edge.artifacts.artifact import Artifact
    from elir_edge.bench.results import Results
    from elir_edge.bench.sweep import Gallery, Plan

MEASURING = (
    "artifacts", "folder", "backend", "device", "mode", "forms", "preset", "weights", "threads", "rounds",
)  # fmt: skip
SHOWING = ("source", "out", "report", "table", "plot")


@click.command("bench")
@click.argument("artifacts", nargs=-1, type=PATH)
@click.option("--all", "folder", type=PATH, help="Time every artifact in this folder.")
@click.option("--backend", "-b", multiple=True, help="Runtime, or several. Default: every one installed that fits.")
@click.option("--device", multiple=True, help="CPU, GPU, NPU, CUDA ... or several. Default: every one found.")
@click.option("--mode", multiple=True, help="latency, throughput, bf16, fp16: where a runtime has the choice.")
@click.option("--torch", "forms", multiple=True, help="Form of PyTorch beside, as compile+bf16; 'all' for every one.")
@model_options
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: all cores.")
@click.option("--rounds", type=click.IntRange(2, 1000), default=10, show_default=True, help="Half a second each.")
@click.option("--out", "-o", type=PATH, help="Write the results with every raw sample as JSON.")
@click.option("--report", type=PATH, help="Write one self-contained HTML page: table, plots, pictures.")
@click.option("--table", type=PATH, help="Write the table as Markdown.")
@click.option("--plot", type=PATH, help="Write the speeds as an SVG picture.")
@click.option("--from", "source", type=PATH, help="Measure nothing: show results that -o wrote.")
@click.option("--compare", nargs=2, type=PATH, metavar="OLD NEW", help="Compare two results; exit 1 where slower.")
@json_option
def command(
    artifacts: tuple[Path, ...],
    folder: Path | None,
    backend: tuple[str, ...],
    device: tuple[str, ...],
    mode: tuple[str, ...],
    forms: tuple[str, ...],
    preset: str,
    weights: tuple[str, ...],
    threads: int | None,
    rounds: int,
    out: Path | None,
    report: Path | None,
    table: Path | None,
    plot: Path | None,
    source: Path | None,
    compare: tuple[Path, Path] | None,
    as_json: bool,
) -> int:
    """Time ARTIFACTS (or, without any, those of the preset, exported to build/bench/) beside PyTorch.

    Each runs in a process of its own, taking turns, and its pictures are compared with PyTorch's. Exit 1 where a
    picture is wrong or a row failed; devices that are not there are named, and exit 69 where that leaves no artifact.
    """
    from elir_edge.bench.devices import devices_called
    from elir_edge.bench.sweep import Plan, sweep

    outputs = Outputs(out, report, table, plot)
    if compare:
        refuse_given((*MEASURING, *SHOWING), "--compare takes two results and --json only", "leave it out")
        return show_comparison(*compare, as_json)
    if source:
        refuse_given(MEASURING, "--from shows what was measured before", "leave it out")
    outputs.check(source)
    shown = Shown()
    galleries: list[Gallery] = []
    if source is not None:
        from elir_edge.bench.results import load_results

        results = load_results(source)
    else:
        _check_backends(backend)
        devices = devices_called(device)
        plan = Plan(backend, devices, mode or ("latency",), _forms(forms), weights, threads, rounds)
        opened = _open_runnable(artifacts, folder, shown) or _export_all(preset, plan, shown)
        outputs.check_beside(opened)
        results, galleries = sweep(opened, plan, shown)
    outputs.write(results, galleries)
    if as_json:
        echo_json(results.to_dict())
    else:
        _show(results)
    return _exit_code(results)


def _check_backends(names: tuple[str, ...]) -> None:
    """Raise UsageError for a backend that there is not, and for PyTorch, which opens no artifact."""
    from elir_edge.runtime.backend import TORCH, get_backend

    if TORCH in [get_backend(name).name for name in names]:
        raise UsageError(
            f"--backend {TORCH}: PyTorch opens no artifacts",
            hint="leave it out: PyTorch is timed beside them, in the forms that --torch names",
        )


def _exit_code(results: Results) -> int:
    """1 where a row failed or its picture is wrong; 69 where no artifact could be timed on the devices asked for."""
    if any(row.status in ("failed", "wrong") for row in results.rows):
        return 1
    ours = [row for row in results.rows if row.artifact is not None]
    return UnavailableError.exit_code if ours and all(row.absent for row in ours) else 0


def _open_runnable(artifacts: tuple[Path, ...], folder: Path | None, shown: Shown) -> list[Artifact]:
    """Those that run here. What is compiled for another device is refused where it was named, else left out."""
    from elir_edge.artifacts.artifact import require_runnable

    if artifacts or folder:
        refuse_given(("preset",), "is for timing without artifacts: these bring their own model", "leave it out")
    opened = []
    for path in dict.fromkeys(_paths(artifacts, folder)):
        artifact = open_artifact(path, shown)
        try:
            require_runnable(artifact)
        except UsageError as error:
            if path in artifacts:
                raise
            shown.note(f"note: left out: {error}")
        else:
            opened.append(artifact)
    if not opened and (artifacts or folder):
        raise UnavailableError("none of these artifacts runs here", hint="export the model for a runtime")
    return opened


def _forms(words: tuple[str, ...]) -> tuple[str, ...]:
    from elir_edge.bench.variant import EAGER, ON_CPU, ON_CUDA

    return (EAGER, *ON_CPU, *ON_CUDA) if "all" in words else words or (EAGER,)


def _paths(artifacts: tuple[Path, ...], folder: Path | None) -> list[Path]:
    """Those named, and every artifact in the folder: what has the ending and a manifest beside it."""
    from elir_edge.artifacts.artifact import is_there, sidecar
    from elir_edge.runtime.backend import backends

    if folder is None:
        return list(artifacts)
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such folder", hint="check the name")
    endings = {suffix for backend in backends().values() for suffix in backend.suffixes}
    there = [path for path in sorted(folder.iterdir()) if path.suffix in endings and is_there(path)]
    found = [path for path in there if sidecar(path).is_file()]
    if not found and not artifacts:
        raise MissingInputError(f"{folder}: holds no artifact with a manifest beside it", hint="elir-edge export")
    return [*artifacts, *found]


def _export_all(preset: str, plan: Plan, shown: Shown) -> list[Artifact]:
    """The preset's fp32 artifact of every target that one of the plan's backends runs and that can be made here."""
    from elir_edge.pipeline.export import export
    from elir_edge.pipeline.target import targets
    from elir_edge.runtime.backend import get_backend

    wanted = {get_backend(name).name for name in plan.backends}
    restorer = load_model(preset, plan.weights, shown)
    chosen = [target for target in targets().values() if not wanted or wanted & set(target.backends)]
    if not chosen:
        raise UsageError(f"no target is made for {', '.join(sorted(wanted))}", hint="name an artifact that it opens")
    made = []
    for target in chosen:
        try:
            made.append(export(restorer, target.name, out=_bench_folder(), force=True, progress=shown))
        except UnavailableError as error:
            shown.note(f"note: {target.name} left out: {error}")
    if not made:
        raise UnavailableError("no target can be exported here", hint="pip install 'elir-edge[onnx]'")
    return made


def _bench_folder() -> Path:
    """Apart from what the user exported himself: these are replaced without asking."""
    from elir_edge.core.publish import DEFAULT_FOLDER

    folder = DEFAULT_FOLDER / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _show(results: Results) -> None:
    from elir_edge.bench.table import HEAD, notes, text_rows, title

    for section in results.sections:
        click.echo(title(section.model).replace("*", ""))
        echo_table(HEAD, text_rows(section, results.peaks))
    for note in notes(results):
        click.echo(note)
