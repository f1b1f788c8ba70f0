"""Training runs: the stages of a recipe in order, each resumable, then the collapsed weights.

The folder of a run has ``tiles.npy``; for each stage a folder with logs and the checkpoint ``last.ckpt``; for each
finished stage ``<stage>.safetensors``, averaged weights, not collapsed, float32; at the end ``weights.safetensors``,
collapsed, float16.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader

from elir_edge.core.lock import Inside, hold
from elir_edge.core.progress import Progress, Silent
from elir_edge.core.publish import write_file
from elir_edge.errors import GateError, OutputError
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.collapse import collapse
from elir_edge.imaging.degradations import find_degradation
from elir_edge.training.batches import BatchSource, StepBatches
from elir_edge.training.checkpoints import load_stage, steps_done
from elir_edge.training.initial import new_restorer
from elir_edge.training.posterior_mean import begin_estimator
from elir_edge.training.recipe import Recipe
from elir_edge.training.run_folder import TILES, check_run, facts_of, note_run
from elir_edge.training.stages import check_stages, stage_module
from elir_edge.training.tiles import TileSpec, tile_store, unread_pictures
from elir_edge.training.trainer import LAST, RunOptions, fit, make_trainer
from elir_edge.training.widen import begin_wider


def train(recipe: Recipe, options: RunOptions, progress: Progress | None = None) -> Path:
    """Run the stages of ``recipe`` that are not finished in ``options.folder``; returns the path of the weights.

    An interrupted stage resumes from its checkpoint with the batches and random numbers of an uninterrupted run.
    Before anything is drawn, ConfigError is raised for stages that the model cannot be trained by (see
    ``check_stages``) and for an estimator that it cannot begin with. Raises UsageError for missing devices, an unknown
    precision and a folder with the run of another recipe, LockedError for a folder that another run trains in,
    OutputError for one that cannot be written, DataError for damaged files in it, GateError where training diverges,
    and what ``tile_store`` raises.
    """
    first = make_trainer(recipe.stages[0], options.folder, options)
    _make_folder(options.folder)
    with hold(Inside(options.folder)) if first.is_global_zero else nullcontext():
        return _train(recipe, options, progress or Silent())


def _train(recipe: Recipe, options: RunOptions, progress: Progress) -> Path:
    data = recipe.data
    tiles = TileSpec(data.tiles, data.side, data.procedural, data.packaged, data.folder, data.pictures)
    restorer = _first_weights(recipe)
    check_stages(recipe.stages, restorer)
    facts = facts_of(recipe, tiles)
    check_run(options.folder, facts)
    rank_zero_only(note_run)(options.folder, facts)
    store = _tiles(options.folder / TILES, tiles, recipe.seed, progress)
    teacher: Restorer | None = None
    for index, stage in enumerate(recipe.stages):
        result = options.folder / f"{stage.name}.safetensors"
        if result.is_file():
            progress.note(f"{stage.name}: done, {result}")
        else:
            progress.note(f"{stage.name}: {stage.steps} steps")
            _run_stage(recipe, index, restorer, teacher, store, options)
        restorer.load_state_dict(load_stage(result))
        if stage.kind == "autoencoder":
            teacher = new_restorer(recipe.spec, recipe.seed, expanded=recipe.expanded)
            teacher.load_state_dict(restorer.state_dict())
    weights = options.folder / "weights.safetensors"
    rank_zero_only(write_tensors)(weights, collapsed_weights(restorer))
    return weights


def _tiles(path: Path, spec: TileSpec, seed: int, progress: Progress) -> np.ndarray:
    unread = [] if path.is_file() else unread_pictures(spec)
    if unread:
        progress.note(f"left out: {len(unread)} pictures of formats that only restore reads, such as {unread[0]}")
    with progress.stage("drawing training tiles", spec.count) as advance:
        return tile_store(path, spec, seed, lambda: advance(1))


def _first_weights(recipe: Recipe) -> Restorer:
    restorer = new_restorer(recipe.spec, recipe.seed, expanded=recipe.expanded)
    if recipe.begin_wider is not None:
        begin_wider(restorer, recipe.begin_wider)
    if recipe.estimator_from is not None:
        begin_estimator(restorer, recipe.estimator_from)
    return restorer


def collapsed_weights(restorer: Restorer) -> dict[str, Tensor]:
    """Weights for publication: linear blocks collapsed, float16, names as in ``Restorer(spec)``.

    Raises GateError for weights that float16 does not hold.
    """
    plain = copy.deepcopy(restorer)
    collapse(plain, restorer.spec.foreign_parts)
    found = {
        name: (value.detach().half() if value.is_floating_point() else value).contiguous()
        for name, value in plain.state_dict().items()
    }
    beyond = [name for name, value in found.items() if not value.isfinite().all()]
    if beyond:
        raise GateError(
            f"{len(beyond)} of {len(found)} tensors are NaN or beyond {torch.finfo(torch.float16).max:g}, the most of"
            f" float16: {', '.join(beyond[:3])}",
            hint="train in another folder (-o) with a lower rate or more weight_decay",
        )
    return found


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file, completely or not at all. Raises OutputError or StorageError where that fails."""
    write_file(path, save({name: value.contiguous() for name, value in tensors.items()}))


def _run_stage(
    recipe: Recipe, index: int, restorer: Restorer, teacher: Restorer | None, store: Any, options: RunOptions
) -> None:
    stage, seed = recipe.stages[index], recipe.seed * 100 + index
    module = stage_module(stage, restorer, teacher, seed)
    folder = options.folder / stage.name
    checkpoint = folder / f"{LAST}.ckpt"
    resume = checkpoint if checkpoint.is_file() else None
    trainer = make_trainer(stage, folder, options)
    degrade = None if stage.kind == "autoencoder" else find_degradation(recipe.task).apply
    source = BatchSource(store, degrade, stage.batch, stage.crop, seed, stage.saturation)
    batches = StepBatches(source, steps_done(resume), trainer.global_rank)
    loader: DataLoader[Any] = DataLoader(batches, batch_size=None, num_workers=options.workers)
    fit(trainer, module, loader, resume)
    if trainer.is_global_zero:
        write_tensors(options.folder / f"{stage.name}.safetensors", module.averaged_state())
    trainer.strategy.barrier()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be created: {error.strerror}", hint="choose another folder with -o"
        ) from error
