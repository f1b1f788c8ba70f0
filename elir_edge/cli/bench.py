"""elir-edge bench."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import (
    PATH,
    Shown,
    echo_json,
    echo_table,
    is_given,
    json_option,
    load_model,
    model_options,
    open_artifact,
)
from elir_edge.errors import MissingInputError, UnavailableError, UsageError

if TYPE_CHECKING:
    from elir_edge.artifacts.artifact import Artifact
    from elir_edge.bench.results import Results
    from elir_edge.bench.sweep import Gallery, Plan


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
    picture is wrong or a row failed; devices that are not there are named.
    """
    from elir_edge.bench.sweep import Plan, sweep

    measuring = bool(artifacts or folder)
    if compare:
        if measuring or source or any((out, report, table, plot)):
            raise UsageError(
                "--compare prints a comparison of two results and takes nothing else but --json",
                hint="leave out the rest",
            )
        return _compare(*compare, as_json)
    if source and measuring:
        raise UsageError("--from measures nothing: it takes no artifacts", hint="leave out one of the two")
    _check_places(out, report, table, plot)
    shown = Shown()
    galleries: list[Gallery] = []
    if source is not None:
        from elir_edge.bench.results import load_results

        results = load_results(source)
    else:
        if measuring and is_given("preset"):
            raise UsageError(
                "--preset is for timing without artifacts: these bring their own model", hint="leave out --preset"
            )
        plan = Plan(backend, device, mode or ("latency",), _forms(forms), weights, threads, rounds)
        opened = _open_runnable(artifacts, folder, shown)
        results, galleries = sweep(opened or _export_all(preset, plan, shown), plan, shown)
    _write(results, galleries, out, report, table, plot)
    if as_json:
        echo_json(results.to_dict())
    else:
        _show(results)
    return int(any(row.status in ("failed", "wrong") for row in results.rows))


def _open_runnable(artifacts: tuple[Path, ...], folder: Path | None, shown: Shown) -> list[Artifact]:
    """Those that run here. What is compiled for another device is refused where it was named, else left out."""
    from elir_edge.artifacts.artifact import require_runnable

    opened = []
    for path in _paths(artifacts, folder):
        artifact = open_artifact(path, shown)
        try:
            require_runnable(artifact)
        except UsageError as error:
            if path in artifacts:
                raise
            shown.note(f"note: left out: {error}")
        else:
            opened.append(artifact)
    return opened


def _check_places(*paths: Path | None) -> None:
    from elir_edge.core.publish import check_place

    for path in filter(None, paths):
        check_place(path)


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


def _write(
    results: Results,
    galleries: Sequence[Gallery],
    out: Path | None,
    report: Path | None,
    table: Path | None,
    plot: Path | None,
) -> None:
    from elir_edge.bench.charts import speed_plot
    from elir_edge.bench.report import html_report
    from elir_edge.bench.table import markdown
    from elir_edge.core.publish import write_file

    if out:
        write_file(out, results.to_json().encode())
    if report:
        write_file(report, html_report(results, galleries).encode())
    if table:
        write_file(table, markdown(results).encode())
    if plot:
        write_file(plot, speed_plot(results).encode())


def _show(results: Results) -> None:
    from elir_edge.bench.table import HEAD, notes, text_rows, title

    for section in results.sections:
        click.echo(title(section.model).replace("*", ""))
        echo_table(HEAD, text_rows(section, results.peaks))
    for note in notes(results):
        click.echo(note)


def _compare(old: Path, new: Path, as_json: bool) -> int:
    from elir_edge.bench.compare import compare_results, same_machine
    from elir_edge.bench.results import load_results

    before, after = load_results(old), load_results(new)
    changes = compare_results(before, after)
    if as_json:
        echo_json([dataclasses.asdict(change) for change in changes])
    else:
        rows = [
            (
                change.label,
                change.verdict,
                "" if change.factor is None else f"x {change.factor:.2f}",
                "" if change.noise is None else f"+- {change.noise:.0%}",
                change.by,
                "" if change.memory is None else f"x {change.memory:.2f}",
                change.detail,
            )
            for change in changes
        ]
        echo_table(("row", "verdict", "speed", "noise", "by", "memory", ""), rows)
        if not same_machine(before, after):
            click.echo("note: the two were not measured on the same machine, or not with the same threads")
    return int(any(change.regressed for change in changes))
