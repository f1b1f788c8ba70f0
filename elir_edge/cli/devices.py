"""elir-edge devices."""

from __future__ import annotations

import click

from elir_edge.cli.shared import echo_json, echo_table, json_option


@click.command("devices")
@click.option("--known", is_flag=True, help="List the devices that fit and compile know, instead of this machine's.")
@json_option
def command(known: bool, as_json: bool) -> None:
    """List what this machine can run artifacts on, and why it cannot on the rest."""
    if known:
        _show_known(as_json)
        return
    from elir_edge.runtime.hardware import find_devices

    found = find_devices()
    if as_json:
        echo_json([device.to_dict() for device in found])
        return
    rows = [(device.backend, device.name, "yes" if device.available else "no", device.detail) for device in found]
    echo_table(("backend", "device", "usable", "detail"), rows)


def _show_known(as_json: bool) -> None:
    from elir_edge.npu.device import Memory, known_devices

    found = known_devices().values()
    if as_json:
        echo_json([device.to_dict() for device in found])
        return

    def limit(memory: Memory, part: str) -> str:
        name = getattr(memory, part)
        return f"{memory.kib(name)} KiB {name}" if name else "no limit stated"

    rows = [
        (
            device.name,
            f"{device.shared.family} {device.entry.chip}".strip(),
            device.shared.compiler,
            device.shared.recommended,
            limit(device.memory, "arena"),
            limit(device.memory, "weights"),
            device.shared.figures,
        )
        for device in found
    ]
    echo_table(("device", "what it is", "compiler", "precision", "activations", "weights", "figures"), rows)
