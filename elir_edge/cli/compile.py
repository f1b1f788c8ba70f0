"""elir-edge compile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import PATH, Shown, echo_json, json_option, open_artifact

if TYPE_CHECKING:
    from elir_edge.npu.compiler import Compilation
    from elir_edge.npu.device import KnownDevice


@click.command("compile")
@click.argument("artifact", type=PATH)
@click.option("--for", "device", required=True, help="Device (elir-edge devices --known), or its YAML file.")
@click.option("--out", "-o", type=PATH, help="File or folder to write. Default: build/.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--no-simulate", is_flag=True, help="Do not run the golden picture on the compiler's simulator.")
@json_option
def command(artifact: Path, device: str, out: Path | None, force: bool, no_simulate: bool, as_json: bool) -> int:
    """Compile an artifact for an NPU with the NPU's own compiler, offline.

    Exit 1, and nothing written, where ops are left to the CPU, or memory or picture are not what they should be.
    """
    from elir_edge.core.publish import DEFAULT_FOLDER, check_place
    from elir_edge.npu.compile import compile_artifact
    from elir_edge.npu.device import get_device

    chosen = get_device(device)
    check_place(out or DEFAULT_FOLDER)
    shown = Shown()
    result = compile_artifact(open_artifact(artifact, shown), chosen, out, force, not no_simulate, shown)
    if as_json:
        echo_json({"device": chosen.name, "figures_are": chosen.shared.figures} | result.to_dict())
        return int(bool(result.problems))
    if result.compiled:
        _show(result, chosen)
    for problem in result.problems:
        click.echo(f"cannot be used: {problem}", err=True)
    for file in result.files:
        click.echo(f"{file}  {file.stat().st_size / 1e6:.1f} MB")
    return int(bool(result.problems))


def _show(result: Compilation, device: KnownDevice) -> None:
    memory = ", ".join(f"{kib:.0f} KiB of {name}" for name, kib in result.memory_kib.items())
    click.echo(f"{result.npu_share:.1%} of {result.ops} ops for {device.name}" + (f", {memory}" if memory else ""))
    if result.figures:
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result.figures.items())
        click.echo(f"  {device.shared.figures}: {told}")
