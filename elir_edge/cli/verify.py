"""elir-edge verify."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from elir_edge.cli.shared import PATH, Shown, echo_json, json_option, open_artifact


@click.command("verify")
@click.argument("artifact", type=PATH)
@click.option("--backend", "-b", help="Runtime. Default: the usual one that is installed.")
@click.option("--key", type=PATH, metavar="PUB", help="Refuse it unless it is signed, by this public key.")
@json_option
def command(artifact: Path, backend: str | None, key: Path | None, as_json: bool) -> int:
    """Run an artifact on the golden input beside it and compare with what it gave when it was exported.

    Needs no torch and no network. Exit 1 where it differs by more than the tolerance in its manifest.
    """
    from elir_edge.artifacts.artifact import load_artifact
    from elir_edge.artifacts.signing import check_signature
    from elir_edge.validation.verify import verify

    shown = Shown()
    if key is not None:
        check_signature(load_artifact(artifact), key)
    opened = open_artifact(artifact, shown, backend)
    with shown.stage("running the golden input"):
        result = verify(opened, backend)
    if as_json:
        echo_json({"artifact": str(artifact)} | dataclasses.asdict(result))
    else:
        said = result.problem or f"max abs {result.max_abs:.1e}, {result.psnr_db:.1f} dB"
        click.echo(f"{artifact}: {'as exported' if result.passed else 'DIFFERS from what was exported'}")
        click.echo(f"  {said}; allowed: {result.tolerance}")
        click.echo(f"  run by {result.backend}, recorded by {result.recorded_by}")
    return 0 if result.passed else 1
