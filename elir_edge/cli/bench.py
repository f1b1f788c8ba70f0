"""elir-edge bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elir_edge.cli.shared import (
    Shown,
    at_hand,
    echo_json,
    echo_table,
    given,
    json_option,
    load_model,
    model_of,
    model_options,
    open_artifact,
)
from elir_edge.errors import ElirEdgeError, UsageError

if TYPE_CHECKING:
    from elir_edge.artifact import Artifact
    from elir_edge.bench.measure import Contestant, Row
    from elir_edge.model.restorer import Restorer

EAGER = "PyTorch eager"
HEAD = ("what runs", "FPS", "p50 ms", "p90", "p99", "spread", "times as fast", "cold s", "peak MB", "MB", "GFLOP/s")


@click.command("bench")
@click.argument("artifacts", nargs=-1, type=click.Path(path_type=Path))
@click.option("--backend", "-b", multiple=True, help="Runtime, or several. Default: every one installed that fits.")
@model_options
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: all cores.")
@click.option("--rounds", type=click.IntRange(2, 1000), default=10, show_default=True, help="Half a second each.")
@json_option
def command(
    artifacts: tuple[Path, ...],
    backend: tuple[str, ...],
    preset: str,
    weights: tuple[str, ...],
    threads: int | None,
    rounds: int,
    as_json: bool,
) -> int:
    """Time ARTIFACTS (or, without any, those of the preset, exported to build/bench/) on the CPU, beside PyTorch.

    Each runs in a process of its own, taking turns. Exit 1 where a picture is wrong or a row failed.
    """
    from elir_edge.bench.measure import measure
    from elir_edge.runtime import choose_backends

    shown = Shown()
    if artifacts and given("preset"):
        raise UsageError("--preset is for timing without artifacts: these bring their own model")
    opened = [open_artifact(path, shown) for path in artifacts] or _export_all(preset, weights, backend, shown)
    by_path = {artifact.path: artifact for artifact in opened}
    pairs = [(by_path[path], name) for path, name in choose_backends(list(by_path), backend, shown.note)]
    parity = _parities(pairs, weights, shown)
    rows = measure([*_eager(opened[0], weights, threads), *_contestants(pairs, threads)], rounds, shown)
    if as_json:
        echo_json([row.to_dict() | {"parity": parity.get(row.label)} for row in rows])
    else:
        _show(rows, parity)
    return int(any(row.error for row in rows) or any(told.startswith(("WRONG", "failed")) for told in parity.values()))


def _export_all(preset: str, weights: tuple[str, ...], backends: tuple[str, ...], shown: Shown) -> list[Artifact]:
    """The preset's artifact of every target that one of ``backends`` runs."""
    from elir_edge.exporting import export
    from elir_edge.runtime import get_backend
    from elir_edge.target import targets

    wanted = {get_backend(name).name for name in backends}
    restorer = load_model(preset, weights, shown)
    return [
        export(restorer, target.name, out=_bench_folder(), force=True, progress=shown)
        for target in targets().values()
        if not wanted or wanted & set(target.backends)
    ]


def _bench_folder() -> Path:
    """Apart from what the user exported himself: these are replaced without asking."""
    from elir_edge.publish import DEFAULT_FOLDER

    folder = DEFAULT_FOLDER / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _label(artifact: Artifact, backend: str) -> str:
    return f"{artifact.path} in {backend}"


def _contestants(pairs: list[tuple[Artifact, str]], threads: int | None) -> list[Contestant]:
    from elir_edge.bench.measure import Contestant

    return [
        Contestant(
            _label(artifact, name),
            {"path": str(artifact.path), "backend": name, "threads": threads},
            artifact.manifest.graph["gflop"],
            artifact.size_bytes,
        )
        for artifact, name in pairs
    ]


def _eager(artifact: Artifact, weights: tuple[str, ...], threads: int | None) -> list[Contestant]:
    """The reference row, where PyTorch and the weights are at hand."""
    from elir_edge.bench.measure import Contestant
    from elir_edge.runtime import BACKENDS, TORCH

    manifest = artifact.manifest
    if not BACKENDS[TORCH].installed() or not at_hand(manifest, weights):
        return []
    request = {
        "backend": TORCH,
        "spec": manifest.spec,
        "weights": list(weights) or manifest.weights["name"],
        "size": manifest.size,
        "threads": threads,
    }
    return [Contestant(EAGER, request, manifest.graph["gflop"])]


def _parities(pairs: list[tuple[Artifact, str]], weights: tuple[str, ...], shown: Shown) -> dict[str, str]:
    """By label, ``equal`` or ``WRONG`` against PyTorch on a photograph, else why nobody knows; loads a model once."""
    from elir_edge.runtime import BACKENDS, TORCH

    models: dict[str, Restorer] = {}
    told = {}
    for artifact, name in pairs:
        label = _label(artifact, name)
        if not BACKENDS[TORCH].installed():
            told[label] = "not checked: no torch"
        elif not at_hand(artifact.manifest, weights):
            told[label] = "not checked: weights not at hand"
        else:
            key = json.dumps([artifact.manifest.spec, artifact.manifest.weights], sort_keys=True)
            if key not in models:
                models[key] = model_of(artifact, weights, shown)
            told[label] = _parity(artifact, name, models[key], shown)
    return told


def _parity(artifact: Artifact, backend: str, restorer: Restorer, shown: Shown) -> str:
    from elir_edge.images import builtin_photograph
    from elir_edge.validation import validate

    picture = {"astronaut": builtin_photograph("astronaut")}
    try:
        result = validate(artifact.path, artifact.manifest, restorer, picture, backend, progress=shown)
    except ElirEdgeError as error:
        return f"failed: {error}"
    return "equal" if result.passed else "WRONG"


def _show(rows: list[Row], parity: dict[str, str]) -> None:
    echo_table((*HEAD, "picture"), [(*_cells(row), parity.get(row.label, "the reference")) for row in rows])
    for row in rows:
        if row.error:
            click.echo(f"failed: {row.error}", err=True)
    if any(row.latency and row.latency.noisy for row in rows):
        click.echo("the machine is noisy: some samples spread over more than 10 %; trust ratios more than figures")


def _cells(row: Row) -> tuple[Any, ...]:
    latency = row.latency
    if latency is None or row.cold_s is None or row.peak_bytes is None:
        return (row.label, "failed", *[""] * (len(HEAD) - 2))
    ratio = "{1:.2f} [{0:.2f}, {2:.2f}]".format(*row.ratio) if row.ratio else ""
    size = f"{row.size_bytes / 1e6:.1f}" if row.size_bytes else ""
    times = [f"{1000 * value:.1f}" for value in (latency.p50, latency.p90, latency.p99)]
    figures = (f"{latency.spread:.0%}", ratio, f"{row.cold_s:.2f}", f"{row.peak_bytes / 1e6:.0f}", size)
    return (row.label, f"{latency.fps:.2f}", *times, *figures, f"{row.gflop * latency.fps:.0f}")
