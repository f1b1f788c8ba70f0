"""elir-edge export."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from elir_edge.artifact import NOT_COMPARED
from elir_edge.cli.lower import echo_costs, lowering_costs
from elir_edge.cli.shared import Shown, echo_json, form_options, json_option, load_model, model_options


@click.command("export")
@click.option("--target", "-t", default="onnx", show_default=True, help="Format; see elir-edge targets.")
@click.option("--precision", default="fp32", show_default=True, help="One that the target offers.")
@model_options
@form_options
@click.option("--out", "-o", type=click.Path(path_type=Path), help="File or folder to write. Default: build/.")
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
    io: str,
    out: Path | None,
    force: bool,
    explain: bool,
    as_json: bool,
) -> None:
    """Write an artifact that restores as the PyTorch model does, proven on a photograph."""
    from elir_edge.publish import DEFAULT_FOLDER, check_place
    from elir_edge.target import get_target

    chosen = get_target(target)
    check_place(out or DEFAULT_FOLDER)
    shown = Shown()
    restorer = load_model(preset, weights, shown)
    if explain and not as_json:
        echo_costs(lowering_costs(restorer, size, noise, io, chosen.norm))
    from elir_edge.exporting import export

    artifact = export(restorer, target, precision, size, noise, io, out, force, shown)
    manifest, parity = artifact.manifest, artifact.manifest.parity or {}
    if as_json:
        report = {"path": str(artifact.path), "fresh": artifact.fresh, "bytes": artifact.size_bytes, "parity": parity}
        if explain:
            costs = lowering_costs(restorer, size, noise, io, chosen.norm)
            report["rewrites"] = [dataclasses.asdict(cost) for cost in costs]
        echo_json(report)
        return
    click.echo(f"{artifact.path}  {artifact.size_bytes / 1e6:.1f} MB, {manifest.graph['gflop']:.1f} GFLOP a picture")
    click.echo(f"  {_told(parity)}")
    click.echo(f"  try it: {chosen.try_it.format(path=artifact.path)}")


def _told(parity: dict[str, Any]) -> str:
    if NOT_COMPARED in parity:
        return f"not compared with PyTorch: {parity[NOT_COMPARED]}"
    return (
        f"differs from PyTorch by at most {parity.get('max_abs', 0):.1e} ({parity.get('psnr_db', 0):.0f} dB) "
        f"in {parity.get('backend')} on {', '.join(parity.get('pictures', []))}"
    )
