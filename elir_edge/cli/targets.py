"""elir-edge targets."""

from __future__ import annotations

import click

from elir_edge.cli.shared import echo_json, echo_table, json_option
from elir_edge.pipeline.target import targets


@click.command("targets")
@json_option
def command(as_json: bool) -> None:
    """List the formats to export to."""
    found = [
        {
            "target": target.name,
            "description": target.description,
            "precisions": target.precisions,
            "backends": target.backends,
            "extra": target.extra,
        }
        for target in targets().values()
    ]
    if as_json:
        echo_json(found)
        return
    rows = [
        (item["target"], item["description"], ", ".join(item["precisions"]), ", ".join(item["backends"]))
        for item in found
    ]
    echo_table(("target", "what it is", "precisions", "run by"), rows)
