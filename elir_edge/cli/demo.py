"""elir-edge demo."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from elir_edge.cli.shared import PATH, Shown, open_artifact


@click.command("demo")
@click.argument("artifacts", nargs=-1, required=True, type=PATH)
@click.option("--port", default=7860, type=click.IntRange(0, 65535), show_default=True, help="Port; 0: any free one.")
def command(artifacts: tuple[Path, ...], port: int) -> None:
    """Serve a page, to this machine only, that restores a picture with one of ARTIFACTS and shows before and after."""
    from elir_edge.runtime.demo import open_demo

    shown = Shown()
    for path in artifacts:
        open_artifact(path, shown)
    with open_demo(artifacts, port) as address:
        click.echo(f"{address}  (Ctrl+C ends it)")
        threading.Event().wait()
