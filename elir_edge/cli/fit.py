"""elir-edge fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import Shown, echo_json, json_option, open_artifact, size_option

if TYPE_CHECKING:
    from elir_edge.npu.device import KnownDevice
    from elir_edge.npu.fit import Fit

ARTIFACTS = (".tflite", ".onnx", ".xml")
JUDGED = "judged with integers only; an export that misses its gate so may compute parts in float"
WORDS = {"yes": "fits", "tight": "fits only if the compiler works in stripes", "no": "does NOT fit"}


@click.command("fit")
@click.argument("model")
@click.option("--for", "device", required=True, help="Device (elir-edge devices --known), or its YAML file.")
@size_option
@click.option(
    "--precision",
    help="fp32, fp16, int8 or w8a16. Default: the one recommended for the device; an artifact has its own.",
)
@json_option
def command(model: str, device: str, size: str | None, precision: str | None, as_json: bool) -> int:
    """Say whether MODEL fits a device: an artifact (.tflite, .onnx), a preset, or a model's YAML file.

    Estimated from the lifetimes of the graph's tensors, in seconds and without any compiler. Exit 1 where it does not.
    """
    from elir_edge.npu.device import get_device

    chosen = get_device(device)
    shown = Shown()
    made = _artifact(model, size, precision, chosen, shown)
    result = made or _preset(model, size, precision, chosen, shown)
    if as_json:
        echo_json(dataclasses.asdict(result))
    else:
        _show(result, chosen)
        if made is None and result.precision == "int8":
            click.echo(f"  {JUDGED}")
    return int(not result.fits)


def _artifact(model: str, size: str | None, precision: str | None, device: KnownDevice, shown: Shown) -> Fit | None:
    from elir_edge.artifacts.artifact import is_there, require_runnable
    from elir_edge.errors import UsageError
    from elir_edge.npu.fit import fit_artifact

    path = Path(model)
    if path.suffix not in ARTIFACTS:
        if is_there(path) and path.suffix not in (".yaml", ".yml"):
            raise UsageError(
                f"{model}: neither one of {', '.join(ARTIFACTS)}, nor a model's YAML file",
                hint="name its preset, or export it to one file",
            )
        return None
    if size or precision:
        raise UsageError(f"{model}: an artifact has its own size and precision", hint="name a preset to try others")
    artifact = open_artifact(path, shown)
    require_runnable(artifact)
    return fit_artifact(artifact, device)


def _preset(model: str, size: str | None, precision: str | None, device: KnownDevice, shown: Shown) -> Fit:
    from elir_edge.artifacts.signature import parse_size
    from elir_edge.errors import UsageError
    from elir_edge.families.spec import load_spec
    from elir_edge.npu.fit import PRECISIONS, fit_model

    spec = load_spec(model)
    wanted = precision or device.shared.recommended
    if wanted not in PRECISIONS:
        raise UsageError(f"there is no precision '{wanted}'", hint=f"known: {', '.join(PRECISIONS)}")
    with shown.stage("lowering the model"):
        return fit_model(spec, parse_size(size, spec), wanted, device, model)


def _show(result: Fit, device: KnownDevice) -> None:
    height, width = result.size
    click.echo(f"{result.model} ({height} x {width}, {result.precision}) {WORDS[result.verdict]}: {device.name}")
    memory = device.memory
    striped = f", {result.striped_kib} in stripes" if result.striped_kib is not None else ""
    for part, needed, name in (
        ("activations", f"{result.arena_kib} KiB{striped}", memory.arena),
        ("weights", f"{result.weights_kib} KiB", memory.weights),
    ):
        has = f"{memory.kib(name)} KiB of {name}" if name else "no limit stated"
        click.echo(f"  {part}: about {needed}; the device has {has}")
    click.echo(f"  ops: {result.ops - sum(result.leaving.values())} of {result.ops} on the device")
    for told, count in result.leaving.items():
        click.echo(f"    {count} x {told}")
    if result.precision != result.recommended:
        click.echo(f"  recommended for it: --precision {result.recommended}")
    for problem in result.problems:
        click.echo(f"  because {problem}")
    for change in result.changes:
        click.echo(f"  try {change}" if change.startswith("--") else f"  {change}")
