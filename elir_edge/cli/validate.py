"""elir-edge validate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import (
    PATH,
    Shown,
    echo_json,
    echo_table,
    json_option,
    model_of,
    open_artifact,
    weights_option,
)

if TYPE_CHECKING:
    from elir_edge.validation.result import Validation


@click.command("validate")
@click.argument("artifact", type=PATH)
@weights_option
@click.option("--backend", "-b", multiple=True, help="Runtime, or several. Default: every one installed that opens it.")
@click.option("--images", type=PATH, help="Clean picture or folder. Default: four built-in photographs.")
@click.option("--stages", is_flag=True, help="Say where the drift begins, also where the artifact passes.")
@json_option
def command(
    artifact: Path, weights: tuple[str, ...], backend: tuple[str, ...], images: Path | None, stages: bool, as_json: bool
) -> int:
    """Compare an artifact with the PyTorch model on real photographs. Exit 1 where they differ.

    fp32 has to be equal. Other precisions are held to their gate on pictures degraded as the model's task says, against
    PyTorch fp32 and against the clean pictures, and the error of each stage is told: inherited, and its own.
    """
    from elir_edge.artifacts.artifact import require_runnable
    from elir_edge.runtime.backend import TORCH, choose_backends, get_backend

    shown = Shown()
    opened = open_artifact(artifact, shown)
    require_runnable(opened)
    get_backend(TORCH).load()
    from elir_edge.validation.gates import EXACT
    from elir_edge.validation.trials import gather_judges
    from elir_edge.validation.validate import check_same_weights, validate

    restorer = model_of(opened, weights, shown)
    check_same_weights(opened.manifest, restorer)
    pictures, originals = gather_judges(opened.manifest, images)
    inside = stages or opened.manifest.precision != EXACT
    compared = (opened.path, opened.manifest, restorer, pictures)
    results = [
        validate(*compared, backend=name, stages=inside, progress=shown, originals=originals)
        for _, name in choose_backends({opened.path: opened.manifest.precision}, backend, shown.note)
    ]
    if as_json:
        echo_json({"artifact": str(artifact), "results": [result.to_dict() for result in results]})
    else:
        for result in results:
            (_show if opened.manifest.precision == EXACT else _show_quantized)(result)
    return 0 if all(result.passed for result in results) else 1


def _show(result: Validation) -> None:
    click.echo(f"{result.backend}: {'equal to PyTorch' if result.passed else 'DIFFERS from PyTorch'} "
               f"(allowed: {result.gate})")  # fmt: skip
    for failure in result.failures:
        click.echo(f"  {failure}")
    rows = [
        (name, item.problem or f"{item.max_abs:.2e}", f"{item.p99_abs:.2e}", f"{item.psnr_db:.1f}",
         " ".join(f"{shift:+.1e}" for shift in item.mean_shift), "worst" if name == result.worst else "")
        for name, item in result.pictures.items()
    ]  # fmt: skip
    echo_table(("picture", "max abs", "99 % below", "PSNR dB", "mean shift R G B", ""), rows)
    if result.stages:
        click.echo(f"drift, relative to each stage's largest value: begins at {result.drift_began or 'no stage'}")
        echo_table(
            ("stage", "max", ""),
            [(item.stage, f"{item.relative_max:.1e}", "drifted" if item.drifted else "") for item in result.stages],
        )


def _show_quantized(result: Validation) -> None:
    from elir_edge.validation.stages import weakest

    verdict = "keeps the picture" if result.passed else "DOES NOT KEEP the picture"
    click.echo(f"{result.backend}: {verdict} (allowed: {result.gate} to PyTorch fp32)")
    for failure in result.failures:
        click.echo(f"  {failure}")
    rows = [
        (name, item.problem or f"{item.psnr_db:.1f}",
         f"{result.truths[name].drop_db:+.3f}" if name in result.truths else "",
         " ".join(f"{shift * 255:+.2f}" for shift in item.mean_shift), "worst" if name == result.worst else "")
        for name, item in result.pictures.items()
    ]  # fmt: skip
    echo_table(("picture", "dB to fp32", "lost dB", "shift R G B, 1/255", ""), rows)
    if result.mean_drop_db is not None and result.worst_drop_db is not None:
        click.echo(
            f"lost against the originals: {result.mean_drop_db:.3f} dB on average, {result.worst_drop_db:.3f} at worst"
        )
    if result.errors:
        click.echo(f"signal to error of each stage in dB, on {result.worst}; own: fed the float reference")
        largest = weakest(result.errors)
        parts = [
            (error.part, error.stage, f"{error.free_db:.1f}", "" if error.own_db is None else f"{error.own_db:.1f}",
             "" if error.share is None else f"{error.share:.0%}", "largest" if error is largest else "")
            for error in result.errors
        ]  # fmt: skip
        echo_table(("part", "stage", "free-running", "own", "of the picture's error", ""), parts)
