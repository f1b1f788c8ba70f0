"""elir-edge sensitivity."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import PATH, Shown, check_task, echo_json, echo_table, json_option, load_model, model_options

if TYPE_CHECKING:
    from elir_edge.quantize.sensitivity import Sensitivity, TensorError


@click.command("sensitivity")
@model_options
@click.option("--size", "-s", help="Image size in pixels: SIDE or HEIGHTxWIDTH. Default: 128.")
@click.option("--target", "-t", default="onnx", show_default=True, help="Whose grid of int8 weights; see targets.")
@click.option("--calibrate", type=PATH, help="Folder of clean photographs. Default: those inside installed packages.")
@click.option(
    "--task", callback=check_task, help="What degrades all of them; none: clean. Default: pictures of every kind."
)
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Rows to show.")
@json_option
def command(
    preset: str,
    weights: tuple[str, ...],
    size: str | None,
    target: str,
    calibrate: Path | None,
    task: str | None,
    top: int,
    as_json: bool,
) -> None:
    """Estimate which tensors of the int8 form cost the picture, before any export.

    Each error is that of the picture where one tensor alone is rounded, from gradients of the float model on its
    calibration pictures, as if the graph were integer from end to end.
    """
    from elir_edge.pipeline.target import get_target

    levels = get_target(target).kernel_levels
    shown = Shown()
    restorer = load_model(preset, weights, shown, size)
    from elir_edge.quantize.calibration import CalibrationRequest
    from elir_edge.quantize.sensitivity import measure_sensitivity

    found = measure_sensitivity(restorer, CalibrationRequest(calibrate, task), shown, size, levels)
    if as_json:
        echo_json(dataclasses.asdict(found) | {"psnr_db": found.psnr_db, "by_part": found.by_part()})
    else:
        _show(found, top)


def _show(found: Sensitivity, top: int) -> None:
    from elir_edge.quantize.sensitivity import decibels

    height, width = found.size
    click.echo(
        f"int8 in simulation, {height} x {width}, {found.pictures} pictures: {found.psnr_db:.1f} dB to float; weights "
        f"alone {decibels(found.weights_alone):.1f} dB, activations alone {decibels(found.activations_alone):.1f} dB"
    )
    total = sum(tensor.error for tensor in found.tensors)
    echo_table(("part", "share"), [(part, f"{error / total:.0%}") for part, error in found.by_part().items()])
    click.echo("mean squared error of the picture, one tensor alone, in units of (1/255)^2")
    rows = [
        (tensor.part, tensor.module, tensor.operator, tensor.what, f"{tensor.error:.3f}", _range_of(tensor))
        for tensor in found.tensors[:top]
    ]
    echo_table(("part", "module", "operator", "what", "error", "range"), rows)


def _range_of(tensor: TensorError) -> str:
    return "" if tensor.low is None or tensor.high is None else f"{tensor.low:.3g} to {tensor.high:.3g}"
