"""Preparation of a static graph for int8, the same for all formats: equalization, rounding, tuning."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from elir_edge.core.progress import Progress
from elir_edge.errors import ConfigError, is_memory_error, reason_of
from elir_edge.families.restorer import Restorer
from elir_edge.lowering.lower import lower
from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.calibration import Calibration
from elir_edge.quantize.equalize import equalize
from elir_edge.quantize.held_out import HeldOut
from elir_edge.quantize.levels import LEVELS
from elir_edge.quantize.rounding import round_weights
from elir_edge.quantize.tune import BATCH, TuneBudget, TuneReport, tune

TUNE_SIZE = 128

Feeds = Sequence[Mapping[str, np.ndarray]]


def prepare(
    graph: StaticRestorer,
    feeds: Feeds,
    progress: Progress,
    held_out: HeldOut | None = None,
    levels: int = LEVELS,
) -> StaticRestorer:
    """A copy of ``graph`` with int8 weights of ``levels`` steps per side: the format's quantizer stores them exactly.

    Equalizes the channels of ``graph`` first, in place, which keeps its function. ``feeds`` are the graph's inputs, one
    mapping for each calibration sample. ``held_out`` watches the tensors.
    """
    with progress.stage("equalizing channels", len(feeds)) as advance:
        equalize(graph, feeds, advance)
    rounded = copy.deepcopy(graph)
    watch = None if held_out is None else held_out.watch
    round_weights(rounded, [as_tensors(feed) for feed in feeds], progress, watch=watch, levels=levels)
    return rounded


def prepare_and_tune(
    graph: StaticRestorer,
    restorer: Restorer,
    calibration: Calibration,
    budget: TuneBudget,
    progress: Progress,
    checkpoint: Path | None = None,
    held_out: HeldOut | None = None,
    levels: int = LEVELS,
) -> tuple[StaticRestorer, TuneReport]:
    """``prepare``, then fit the copy to ``graph`` on crops of the calibration pictures (see ``tune``).

    Raises ConfigError, before any work, where an estimator of the user's own does not take several crops at once.
    """
    if restorer.spec.foreign_parts:
        _check_crops(_for_crops(graph, restorer))
    rounded = prepare(graph, calibration.feeds(graph.form, graph.spec), progress, held_out, levels)
    student, teacher = (_for_crops(one, restorer) for one in (rounded, graph))
    seed = calibration.facts["seed"]
    report = tune(student, teacher, calibration.pictures, budget, progress, seed, checkpoint, levels)
    return rounded, report


def lower_within(
    restorer: Restorer, side: int, size: str | int | None = None, io: str = "float", layout: str = "NCHW"
) -> StaticRestorer:
    """The graph of ``restorer`` at ``size``; None: at most ``side`` pixels, or the spec's own size.

    ``io``, ``layout``: see ``lower``. The spec's own size is taken where it is smaller, and where a network of the
    user's own takes no other one. Raises ConfigError where such a network does not take ``size``.
    """
    usual = min(restorer.spec.side_within(side), restorer.spec.size)
    graph = lower(restorer, usual if size is None else size, io=io, layout=layout)
    reason = why_no_batch(graph)
    if reason is None:
        return graph
    if size is None and usual != restorer.spec.size:
        return lower_within(restorer, side, restorer.spec.size, io, layout)
    sides = f"{graph.form.height} x {graph.form.width}"
    raise ConfigError(f"the network does not take {sides} pixels: {reason}", hint=f"--size {restorer.spec.size}")


def why_no_batch(graph: StaticRestorer, count: int = 1) -> str | None:
    """Why ``graph`` takes no batch of ``count`` pictures; None where it does.

    Networks of the package take all that ``lower`` accepts: only those with parts of the user's own are tried.
    """
    if not graph.spec.foreign_parts:
        return None
    image, *noise = graph.example_inputs()
    try:
        with torch.no_grad():
            graph(image.expand(count, *image.shape[1:]), *noise)
    except Exception as error:  # networks of the user's own raise anything
        if is_memory_error(error):
            raise
        return reason_of(error)
    return None


def as_tensors(feed: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """``feed`` as the arguments of a static graph."""
    return tuple(torch.from_numpy(array) for array in feed.values())


def _check_crops(graph: StaticRestorer) -> None:
    if (reason := why_no_batch(graph, BATCH)) is not None:
        crops = f"{BATCH} crops of {graph.form.height} x {graph.form.width} pixels at once"
        raise ConfigError(
            f"tuning needs a network that takes {crops}: {reason}",
            hint="let the network take any size and batch, or leave --tune and --tune-steps out",
        )


def _for_crops(graph: StaticRestorer, restorer: Restorer) -> StaticRestorer:
    """The same network at the size of crops; it shares the convolutions' parameters with ``graph``.

    Normalization parameters are not shared: the form of the norm may differ, and they are not trained.
    """
    form = graph.form
    most = restorer.spec.side_within(TUNE_SIZE)
    size = min(most, form.height), min(most, form.width)
    noise = "zero" if form.noise.mode == "input" else str(form.noise)
    small = lower(restorer, size, noise, form.io, form.layout, form.latent_layout)
    held = dict(graph.named_parameters(remove_duplicate=False))
    for prefix, module in small.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            for name, _ in list(module.named_parameters(recurse=False)):
                setattr(module, name, held[f"{prefix}.{name}"])
    return small
