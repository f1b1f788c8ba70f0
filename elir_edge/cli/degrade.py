"""elir-edge degrade."""

from __future__ import annotations

from pathlib import Path

import click

from elir_edge.cli.shared import PATH, echo_json, json_option, task_option
from elir_edge.errors import DataError


@click.command("degrade")
@click.argument("picture", type=PATH)
@task_option("restoration, bfr, sr, denoising ...")
@click.option("--out", "-o", "output", type=PATH, required=True, help="The sheet to write.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides all that is random.")
@click.option("--draws", type=click.IntRange(1, 16), default=1, show_default=True, help="Rows, each of the next seed.")
@click.option("--force", is_flag=True, help="Replace an output that is there.")
@json_option
def command(picture: Path, task: str, output: Path, seed: int, draws: int, force: bool, as_json: bool) -> None:
    """Show what a task does to PICTURE, on a sheet: original | degraded."""
    from elir_edge.cli.sheets import check_output
    from elir_edge.imaging.degradations import degrade, find_degradation
    from elir_edge.imaging.pictures import read_picture, write_picture
    from elir_edge.imaging.sheets import contact_sheet

    line = find_degradation(task).line
    check_output(output, force, inputs=[picture])
    image = read_picture(picture)
    try:
        rows = [degrade(image, task, seed + draw) for draw in range(draws)]
    except DataError as error:
        raise DataError(f"{picture}: {error}", hint=error.hint) from error
    write_picture(output, contact_sheet(rows))
    height, width = rows[0][0].shape[:2]
    if as_json:
        seeds = list(range(seed, seed + draws))
        echo_json({"task": task, "seeds": seeds, "height": height, "width": width, "output": str(output)})
    else:
        click.echo(f"{task}: {line}\n{output}: original | degraded, {draws} of {width} x {height}")
