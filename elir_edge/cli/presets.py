"""elir-edge presets."""

from __future__ import annotations

import click

from elir_edge.cli.shared import echo_json, echo_table, json_option
from elir_edge.families.spec import load_spec, preset_names


@click.command("presets")
@json_option
def command(as_json: bool) -> None:
    """List the models that come with the package."""
    specs = [load_spec(name) for name in preset_names()]
    if as_json:
        echo_json([spec.to_dict() for spec in specs])
        return
    rows = [(spec.name, spec.task, spec.size, spec.steps, spec.sigma_s, spec.weights or "") for spec in specs]
    echo_table(("preset", "task", "size", "K", "sigma_s", "weights"), rows)
