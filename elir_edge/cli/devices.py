"""elir-edge devices."""

from __future__ import annotations

import click

from elir_edge.cli.shared import echo_json, echo_table, json_option


@click.command("devices")
@json_option
def command(as_json: bool) -> None:
    """List what this machine can run artifacts on, and why it cannot on the rest."""
    from elir_edge.devices import find_devices

    found = find_devices()
    if as_json:
        echo_json([device.to_dict() for device in found])
        return
    rows = [(device.backend, device.name, "yes" if device.available else "no", device.detail) for device in found]
    echo_table(("backend", "device", "usable", "detail"), rows)
