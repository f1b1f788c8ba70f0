"""What formats that compute parts in float keep unrounded: parts that move values, and sums that cost the picture.

Measured for nano with noise of 15 (each tensor rounded alone, 96 x 96): of the error of int8, 0.83
squared levels, the sums of the estimator at the size of the latent make 0.31, rounding the picture twice 0.12.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from elir_edge.families.base import RESTORED, output_stages
from elir_edge.families.networks.residual import ResidualEstimator
from elir_edge.lowering.static import StaticRestorer

AUTOENCODER = ("encoder", "decoder")  # groups, see ``Stage``
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def stages_that_move(graph: StaticRestorer) -> frozenset[str]:
    """Names of the stages whose values are those of the stage before, or of the image, in another order.

    Their convolutions cost next to nothing: formats that compute parts in float leave them unrounded.
    """
    return frozenset(
        stage.name
        for stage in output_stages(graph.stage_list())
        if stage.module is not None and _only_moves(graph.get_submodule(stage.module))
    )


def source_of_picture(graph: StaticRestorer) -> str | None:
    """The stage whose values are those of the restored image in another order; None where there is none."""
    stages = [stage.name for stage in output_stages(graph.stage_list())]
    return stages[-2] if len(stages) > 1 and RESTORED in stages_that_move(graph) else None


def stages_of_residual_sums(graph: StaticRestorer) -> frozenset[str]:
    """Names of the stages that residual estimators compute: an error in their sums reaches the picture unchanged."""
    return frozenset(
        stage.name
        for stage in output_stages(graph.stage_list())
        if stage.module is not None
        and any(isinstance(module, ResidualEstimator) for module in graph.get_submodule(stage.module).modules())
    )


def ends_of_autoencoder(graph: StaticRestorer) -> frozenset[str]:
    """Names of the first and the last convolution of encoder and decoder that compute, and of all that only move.

    All of the picture passes through them, so that an error of their weights is one of the picture: in latent-pmrf-nano
    these four make nine tenths of the error of all weights. Those that move are between them and the picture: ONNX
    Runtime quantizes the float weights of a convolution whose input and output are both quantized, with 127 steps.
    """
    names = []
    for stage in output_stages(graph.stage_list()):
        if stage.module is not None:
            modules = graph.get_submodule(stage.module).named_modules()
            found = {name: module for name, module in modules if isinstance(module, CONVOLUTIONS)}
            moving = [name for name, module in found.items() if _moves(module)]
            computing = [name for name in found if name not in moving and stage.group in AUTOENCODER]
            names += [f"{stage.module}.{name}" for name in (*moving, *computing[:1], *computing[-1:])]
    return frozenset(names)


def with_float_ends(rounded: StaticRestorer, plain: StaticRestorer) -> StaticRestorer:
    """A copy of ``rounded`` whose ``ends_of_autoencoder`` are those of ``plain``, with unrounded weights."""
    graph = copy.deepcopy(rounded)
    for name in ends_of_autoencoder(graph):
        graph.set_submodule(name, plain.get_submodule(name))
    return graph


@torch.no_grad()
def _only_moves(part: nn.Module) -> bool:
    kernels = [module for module in part.modules() if any(True for _ in module.parameters(recurse=False))]
    return bool(kernels) and all(_moves(module) for module in kernels)


def _moves(module: nn.Module) -> bool:
    """Whether each output of a convolution is one of its inputs, of whose patches no two overlap."""
    if not isinstance(module, CONVOLUTIONS) or tuple(module.stride) != tuple(module.kernel_size):
        return False
    if module.groups != 1 or any(module.padding) or (module.bias is not None and bool(module.bias.any())):
        return False
    return _picks_one(module.weight.flatten(1) if isinstance(module, nn.Conv2d) else module.weight.movedim(0, -1))


def _picks_one(choices: Tensor) -> bool:
    """Whether each vector along the last axis has one 1 and zeros."""
    return bool(((choices == 0) | (choices == 1)).all() and (choices.sum(-1) == 1).all())
