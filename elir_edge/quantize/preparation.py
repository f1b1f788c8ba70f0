"""What is done to a static graph before any format's quantizer sees it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from elir_edge.core.progress import Progress
from elir_edge.families.restorer import Restorer
from elir_edge.lowering.lower import lower
from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.calibration import Calibration
from elir_edge.quantize.equalize import equalize
from elir_edge.quantize.rounding import round_weights
from elir_edge.quantize.tune import TuneBudget, TuneReport, tune

TUNE_SIZE = 128

Feeds = Sequence[Mapping[str, np.ndarray]]


def prepare(graph: StaticRestorer, feeds: Feeds, progress: Progress) -> StaticRestorer:
    """Equalize channels, then round weights to values that int8 holds, in place; gives a copy from in between.

    ``feeds`` are the graph's inputs, one mapping for each calibration sample. The weights afterwards lie on the grid
    that every format's own quantizer makes of them.
    """
    with progress.stage("equalizing channels"):
        equalize(graph, feeds)
    plain = copy.deepcopy(graph)
    round_weights(graph, [as_tensors(feed) for feed in feeds], progress)
    return plain


def prepare_and_tune(
    graph: StaticRestorer,
    restorer: Restorer,
    calibration: Calibration,
    budget: TuneBudget,
    progress: Progress,
    checkpoint: Path | None = None,
) -> tuple[StaticRestorer, TuneReport]:
    """``prepare``, then ``tune`` on crops, in place. ``checkpoint``: see ``tune``."""
    teacher = prepare(graph, calibration.feeds(graph.form, graph.spec), progress)
    pair = [_for_crops(one, restorer) for one in (graph, teacher)]
    return teacher, tune(
        pair[0], pair[1], calibration.pictures, budget, progress, calibration.facts["seed"], checkpoint
    )


def as_tensors(feed: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """A graph's inputs in their order."""
    return tuple(torch.from_numpy(array) for array in feed.values())


def _for_crops(graph: StaticRestorer, restorer: Restorer) -> StaticRestorer:
    """The same network for crops: it holds the very parameters of ``graph``, so that fitting it fits both.

    Normalisations keep their own, which no one fits: their form, and so what they hold, may be another.
    """
    form = graph.form
    size = min(TUNE_SIZE, form.height), min(TUNE_SIZE, form.width)
    noise = "zero" if form.noise.mode == "input" else str(form.noise)
    small = lower(restorer, size, noise, form.io, form.layout, form.latent_layout)
    held = dict(graph.named_parameters(remove_duplicate=False))
    for prefix, module in small.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            for name, _ in list(module.named_parameters(recurse=False)):
                setattr(module, name, held[f"{prefix}.{name}"])
    return small
