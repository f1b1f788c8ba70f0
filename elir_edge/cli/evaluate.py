"""elir-edge evaluate."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elir_edge.cli.shared import (
    PATH,
    FiniteRange,
    Shown,
    echo_json,
    echo_table,
    json_option,
    load_model,
    model_options,
    refuse_given,
    task_option,
)
from elir_edge.errors import DataError, UsageError, missing_package

if TYPE_CHECKING:
    import numpy as np

    from elir_edge.families.restorer import Restorer
    from elir_edge.training.evaluate import Degrade, Evaluation, Quality, Score

NEEDED = {"torch": "torch", "skimage.metrics": "scikit-image"}  # module: the package that has it


@click.command("evaluate")
@model_options
@task_option("The degradation; see elir-edge degrade.")
@click.option("--sigma", type=FiniteRange(0.0, 255.0), help="Noise of this strength (of 255) as the task.")
@click.option("--pictures", type=PATH, help="A folder. Default: held-out photographs.")
@click.option("--side", type=click.IntRange(min=1), help="Take at most SIDE x SIDE pixels from each picture's centre.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides all that is random.")
@click.option("--set", "set_name", help="A set of the field under its conditions, in one table: kodak24.")
@click.option("--peer", "peers", multiple=True, help="With --set, also: nlm, cbm3d, ffdnet=FILE. May be repeated.")
@click.option("--artifact", "artifacts", multiple=True, type=PATH, help="With --set, also this.")
@click.option("--only", multiple=True, help="With --set: conditions whose names begin so, 'noise 25' say.")
@click.option("--table", type=PATH, help="With --set: write the table as Markdown.")
@click.option("--out", "-o", "output", type=PATH, help="Sheet: input | restored | original.")
@click.option("--force", is_flag=True, help="Replace an output that is there.")
@json_option
def command(
    preset: str,
    weights: tuple[str, ...],
    task: str,
    sigma: float | None,
    pictures: Path | None,
    side: int | None,
    seed: int,
    set_name: str | None,
    peers: tuple[str, ...],
    artifacts: tuple[Path, ...],
    only: tuple[str, ...],
    table: Path | None,
    output: Path | None,
    force: bool,
    as_json: bool,
) -> int:
    """Degrade pictures, restore them with the PyTorch model, and compare with the originals.

    With --set, a set of pictures is judged under all conditions, and other denoisers and artifacts beside the model.
    """
    _check_packages()
    from elir_edge.cli.sheets import check_output
    from elir_edge.families.spec import load_spec
    from elir_edge.imaging.degradations import find_degradation
    from elir_edge.training.originals import find_originals

    _refuse_ignored(set_name, sigma)
    if not weights:  # which may bring another specification with them
        _check_side(side, load_spec(preset).size_multiple)
    if output is not None:
        check_output(output, force)
    shown = Shown()
    restorer = load_model(preset, weights, shown)
    if set_name is not None:
        from elir_edge.cli.judge import judge_set

        judge_set(restorer, set_name, pictures, peers, artifacts, only, table, output, force, shown, as_json)
        return 0
    _check_side(side, restorer.spec.size_multiple)
    size = find_degradation(task).size if sigma is None else None
    originals = find_originals(pictures, restorer.spec, size, side)
    for picture, why in originals.unfit.items():
        shown.note(f"left out: {picture}: {why}")
    result = _judge(restorer, originals.pictures, _degradation(task, sigma), seed, output, shown)
    if as_json:
        scores = [dataclasses.asdict(s) for s in _all(result)]
        told = {"model": preset, "task": task if sigma is None else f"noise {sigma:g}"}
        echo_json({**told, "untouched": result.untouched_count, "left_out": originals.unfit, "scores": scores})
    else:
        _show(result, len(originals.unfit))
    return DataError.exit_code if originals.unfit else 0


def _judge(
    restorer: Restorer,
    originals: dict[str, np.ndarray],
    degrade: Degrade,
    seed: int,
    output: Path | None,
    shown: Shown,
) -> Evaluation:
    """Restore and compare, and write the sheet where a place for it is given."""
    from elir_edge.imaging.pictures import write_picture
    from elir_edge.imaging.sheets import contact_sheet
    from elir_edge.training.evaluate import evaluate, restorer_function

    restore = restorer_function(restorer, seed)
    with shown.stage("restoring", len(originals)) as advance:
        result = evaluate(originals, degrade, restore, seed, lambda: advance(1), keep=output is not None)
    if output is not None:
        write_picture(output, contact_sheet(result.pictures))
    return result


def _show(result: Evaluation, unfit: int) -> None:
    echo_table(("picture", "input PSNR", "SSIM", "LPIPS", "restored PSNR", "SSIM", "LPIPS"), _rows(result))
    count, untouched = len(result.scores), result.untouched_count
    if 0 < untouched < count:
        click.echo(f"mean PSNR: without the {untouched} of {count} pictures that the task left as they were (200 dB)")
    if unfit:
        click.echo(f"{count} of {count + unfit} pictures judged")


def _check_packages() -> None:
    """Raise UnavailableError where what restores or judges is not installed."""
    for module, package in NEEDED.items():
        try:
            import_module(module)
        except ImportError as error:
            raise missing_package(package, "train") from error


def _refuse_ignored(set_name: str | None, sigma: float | None) -> None:
    """Raise UsageError for options that were given and would decide nothing."""
    if set_name is None:
        refuse_given(("peers", "artifacts", "only", "table"), "only sets are judged so", "add --set, or leave it out")
    else:
        refuse_given(("task", "sigma", "side", "seed"), "the conditions of --set are its own", "leave it out")
    if sigma is not None:
        refuse_given(("task",), "--sigma is the task", "leave out one of the two")


def _check_side(side: int | None, multiple: int) -> None:
    """Raise UsageError for a side that leaves too little of a picture for SSIM; ``multiple``: that of the model."""
    from elir_edge.training.evaluate import SSIM_SIDE

    least = -(-SSIM_SIDE // multiple) * multiple
    if side is not None and side < least:
        raise UsageError(
            f"--side {side}: the model takes multiples of {multiple}, and SSIM needs {SSIM_SIDE} pixels",
            hint=f"take {least} or more",
        )


def _degradation(task: str, sigma: float | None) -> Degrade:
    from elir_edge.imaging.degradations import find_degradation
    from elir_edge.imaging.pixels import add_noise

    if sigma is None:
        return find_degradation(task).apply
    return lambda image, rng: add_noise(image, sigma, rng)


def _all(result: Evaluation) -> list[Score]:
    return [*result.scores, result.mean()]


def _rows(result: Evaluation) -> list[list[Any]]:
    return [[score.name, *_cells(score.degraded), *_cells(score.restored)] for score in _all(result)]


def _cells(quality: Quality) -> list[str]:
    return [f"{quality.psnr:.2f}", f"{quality.ssim:.3f}", "-" if quality.lpips is None else f"{quality.lpips:.3f}"]
