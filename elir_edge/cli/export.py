"""elir-edge export."""

from __future__ import annotations

import dataclasses
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elir_edge.artifacts.facts import NOT_COMPARED
from elir_edge.cli.lower import echo_costs, lowering_costs
from elir_edge.cli.shared import (
    PATH,
    F,
    Shown,
    check_task,
    echo_json,
    form_options,
    is_given,
    json_option,
    load_model,
    model_options,
)

if TYPE_CHECKING:
    from elir_edge.artifacts.artifact import Artifact
    from elir_edge.pipeline.target import Target

QUANTIZATION_OPTIONS = (
    "calibrate",
    "task",
    "calibration_pictures",
    "calibration_seed",
    "tune",
    "tune_steps",
    "allow_degraded",
    "max_drop",
    "max_size",
    "max_latency",
)


class Quantity(click.ParamType):
    """A positive number that its ``unit`` may follow."""

    def __init__(self, unit: str) -> None:
        self.name = self.unit = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        text = str(value).strip()
        digits = text[: -len(self.unit)] if text.lower().endswith(self.unit.lower()) else text
        try:
            number = float(digits)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            self.fail(f"'{value}' is not a positive number of {self.unit}", param, ctx)
        return number


def quantization_options(function: F) -> F:
    """How int8 and mixed are reached."""
    for option in reversed(
        (
            click.option(
                "--calibrate",
                type=PATH,
                help="Folder of clean photographs to calibrate int8 on. Default: those inside installed packages.",
            ),
            click.option(
                "--task",
                callback=check_task,
                help="What degrades all of them, see elir-edge degrade; none: clean. Default: pictures of every kind.",
            ),
            click.option("--calibration-pictures", default=20, show_default=True, help="Cuts to calibrate on."),
            click.option(
                "--calibration-seed",
                type=click.IntRange(0),
                default=0,
                show_default=True,
                help="Decides the cuts and their noise.",
            ),
            click.option(
                "--tune",
                type=Quantity("minutes"),
                metavar="MINUTES",
                help="Fit int8 to the float output on the calibration pictures for so long.",
            ),
            click.option(
                "--tune-steps",
                type=click.IntRange(min=1),
                help="The same, counted in steps: equal commands then give equal bytes.",
            ),
            click.option(
                "--allow-degraded", is_flag=True, help="Write an artifact below its gate too, marked as degraded."
            ),
            click.option(
                "--max-drop",
                type=Quantity("dB"),
                metavar="DB",
                help="mixed: may be lost against the ground truth on average. Default where no limit is given: 0.1.",
            ),
            click.option("--max-size", type=Quantity("MB"), metavar="MB", help="mixed: of all files."),
            click.option(
                "--max-latency", type=Quantity("ms"), metavar="MS", help="mixed: of a picture, on this machine."
            ),
        )
    ):
        function = option(function)
    return function


@click.command("export")
@click.option("--target", "-t", default="onnx", show_default=True, help="Format; see elir-edge targets.")
@click.option("--precision", default="fp32", show_default=True, help="One that the target offers.")
@model_options
@form_options
@quantization_options
@click.option("--out", "-o", type=PATH, help="File or folder to write. Default: build/.")
@click.option(
    "--split", is_flag=True, help="Encoder, one step and decoder apart: restore --steps chooses their number."
)
@click.option("--sign", type=PATH, metavar="KEY", help="Sign it with this private key (ECDSA, PEM).")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--explain", is_flag=True, help="Show what each rewrite of the lowering saves.")
@json_option
def command(
    target: str,
    precision: str,
    preset: str,
    weights: tuple[str, ...],
    size: str | None,
    noise: str,
    io: str | None,
    calibrate: Path | None,
    task: str | None,
    calibration_pictures: int,
    calibration_seed: int,
    tune: float | None,
    tune_steps: int | None,
    allow_degraded: bool,
    max_drop: float | None,
    max_size: float | None,
    max_latency: float | None,
    out: Path | None,
    split: bool,
    sign: Path | None,
    force: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Write an artifact that restores as the PyTorch model does, proven on a photograph."""
    from elir_edge.core.publish import DEFAULT_FOLDER, check_place
    from elir_edge.pipeline.form import choose_target

    chosen = choose_target(target, precision, split)
    check_place(out or DEFAULT_FOLDER)
    if not weights:  # which may bring another specification with them
        _check_form(preset, chosen, precision, size, noise, io)
    shown = Shown()
    restorer = load_model(preset, weights, shown)
    if explain and not as_json:
        echo_costs(lowering_costs(restorer, size, noise, io, chosen.norm))
    from elir_edge.pipeline.export import export
    from elir_edge.pipeline.target import INTEGER_PRECISIONS
    from elir_edge.quantize.calibration import CalibrationRequest
    from elir_edge.quantize.plan import Limits, Quantization
    from elir_edge.quantize.tune import TuneBudget

    quantization = None
    if precision in INTEGER_PRECISIONS or any(map(is_given, QUANTIZATION_OPTIONS)):
        request = CalibrationRequest(calibrate, task, calibration_pictures, calibration_seed)
        budget = TuneBudget(tune, tune_steps) if tune is not None or tune_steps is not None else None
        limits = Limits(max_drop, max_size, max_latency)
        quantization = Quantization(request, budget, allow_degraded, limits if limits != Limits() else None)
    artifact = export(restorer, target, precision, size, noise, io, out, force, shown, quantization, split, sign)
    if not as_json:
        show(artifact, chosen)
        return
    parity, mixed = artifact.manifest.parity or {}, _mixed_facts(artifact)
    report = {"path": str(artifact.path), "fresh": artifact.fresh, "bytes": artifact.size_bytes, "parity": parity}
    if mixed is not None:
        report["mixed"] = mixed
    if explain:
        costs = lowering_costs(restorer, size, noise, io, chosen.norm)
        report["rewrites"] = [dataclasses.asdict(cost) for cost in costs]
    echo_json(report)


def show(artifact: Artifact, target: Target) -> None:
    """Say what was written, how near to PyTorch it is, and a command to try it with."""
    from elir_edge.pipeline.ladder import table_lines

    manifest, mixed = artifact.manifest, _mixed_facts(artifact)
    click.echo(f"{artifact.path}  {artifact.size_bytes / 1e6:.1f} MB, {manifest.graph['gflop']:.1f} GFLOP a picture")
    click.echo(f"  {_parity_text(manifest.parity or {})}")
    for line in table_lines(mixed) if mixed is not None else ():
        click.echo(f"  {line}")
    click.echo(f"  try it: {target.try_it.format(path=shlex.quote(str(artifact.path)))}")


def _mixed_facts(artifact: Artifact) -> Any:
    """What the manifest says of mixed precision; None where it is not."""
    return (artifact.manifest.quantization or {}).get("mixed")


def _check_form(preset: str, target: Target, precision: str, size: str | None, noise: str, io: str | None) -> None:
    """Raise what does not fit the model, before its weights are fetched and read."""
    from elir_edge.families.spec import load_spec
    from elir_edge.pipeline.form import form_of

    form_of(load_spec(preset), target, precision, size, noise, io)


def _parity_text(parity: dict[str, Any]) -> str:
    if NOT_COMPARED in parity:
        return f"not compared with PyTorch: {parity[NOT_COMPARED]}"
    if "mean_drop_db" in parity:
        return (
            f"loses {parity['mean_drop_db']:.2f} dB of {parity['reference_db']:.2f} on photographs that no calibration "
            f"saw, {parity['worst_drop_db']:.2f} dB on the worst; {parity['psnr_db']:.1f} dB to PyTorch in "
            f"{parity['backend']}"
        )
    return (
        f"differs from PyTorch by at most {parity.get('max_abs', 0):.1e} ({parity.get('psnr_db', 0):.0f} dB) "
        f"in {parity.get('backend')} on {', '.join(parity.get('pictures', []))}"
    )
