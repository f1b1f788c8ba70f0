"""elir-edge train."""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import PATH, FiniteRange, Shown, echo_json, json_option
from elir_edge.errors import UsageError

if TYPE_CHECKING:
    from elir_edge.training.recipe import Recipe


@click.command("train")
@click.option("--preset", "--recipe", "recipe", default="nano", show_default=True, help="A recipe's name or YAML file.")
@click.option("--out", "-o", "output", type=PATH, help="Folder of the run. Default: runs/RECIPE.")
@click.option("--photographs", type=PATH, help="Folder with the photographs to train on.")
@click.option("--any-photographs", is_flag=True, help="Take all pictures of that folder, not those the recipe names.")
@click.option("--precision", default="auto", show_default=True, help="auto, 32-true, bf16-mixed or 16-mixed.")
@click.option("--accelerator", default="auto", show_default=True, help="Lightning's: auto, cpu, gpu, mps.")
@click.option("--devices", default="auto", show_default=True, help="How many devices, or auto.")
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="How many machines.")
@click.option("--strategy", default="auto", show_default=True, help="Lightning's: auto, ddp ...")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes drawing batches.")
@click.option("--save-minutes", type=FiniteRange(0.0, 1e6), default=2.0, show_default=True, help="Work at risk.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard logs beside the CSV ones.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@json_option
def command(
    recipe: str,
    output: Path | None,
    photographs: Path | None,
    any_photographs: bool,
    precision: str,
    accelerator: str,
    devices: str,
    nodes: int,
    strategy: str,
    workers: int,
    save_minutes: float,
    tensorboard: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train: first the autoencoder, then the flow, as the recipe says. The same command goes on after a stop."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    plan = _plan(recipe, photographs, any_photographs)
    try:
        from elir_edge.training.train import train
        from elir_edge.training.trainer import RunOptions
    except ModuleNotFoundError as error:
        from elir_edge.errors import missing_package

        raise missing_package(error.name or "lightning", "train") from error
    options = RunOptions(
        folder=output or Path("runs") / Path(recipe).stem,
        precision=precision,
        accelerator=accelerator,
        devices=int(devices) if devices.isdecimal() else devices,
        nodes=nodes,
        strategy=strategy,
        workers=workers,
        save_minutes=save_minutes,
        tensorboard=tensorboard,
        progress=not quiet,
    )
    weights = train(plan, options, Shown())
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return  # one of several devices tells the result
    if as_json:
        echo_json({"recipe": recipe, "weights": str(weights)})
    else:
        click.echo(f"{weights}\nnext: {next_command(plan, weights)}")


def next_command(plan: Recipe, weights: Path) -> str:
    """What evaluates ``weights``, quoted for a shell."""
    options = {"--preset": plan.preset, "--weights": weights, "--task": plan.task}
    words = (str(word) for option in options.items() for word in option)
    return shlex.join(("elir-edge", "evaluate", *words))


def _plan(recipe: str, photographs: Path | None, any_photographs: bool) -> Recipe:
    from elir_edge.training.recipe import load_recipe

    if any_photographs and photographs is None:
        raise UsageError("--any-photographs: of which folder?", hint="name it with --photographs FOLDER")
    plan = load_recipe(recipe)
    if photographs is None:
        return plan
    data = dataclasses.replace(plan.data, folder=str(photographs))
    return dataclasses.replace(plan, data=dataclasses.replace(data, pictures=()) if any_photographs else data)
