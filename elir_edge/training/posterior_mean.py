"""A stacked estimator that begins as a trained ELIR model: its estimator and its Euler steps, one after another."""

from __future__ import annotations

import copy

import torch
from torch import nn

from elir_edge.errors import ConfigError
from elir_edge.families.networks.residual import Block, ResidualEstimator, ResidualField
from elir_edge.families.networks.stacked import StackedEstimator
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.fold_time import fold_field_time
from elir_edge.families.weights import load_restorer

EXPANDED_HINT = "write expanded: false in the recipe: trained networks have one convolution in place of two"


@torch.no_grad()
def begin_estimator(restorer: Restorer, preset: str) -> None:
    """Give the estimator of ``restorer`` the weights of ``preset``: then it restores as that model does, without noise.

    Raises ConfigError where ``restorer`` has no stacked estimator, or one of other networks than ``preset`` has.
    """
    networks = _networks(load_restorer(preset), preset)
    estimator = restorer.parts.get("estimator")
    if not isinstance(estimator, StackedEstimator) or len(estimator.stages()) != len(networks):
        raise ConfigError(
            f"estimator_from {preset}: the model has no stacked estimator of {len(networks)} networks",
            hint="leave estimator_from out, or write the estimator as in the preset latent-pmrf-nano",
        )
    for stage, network in zip(estimator.stages(), networks, strict=True):
        try:
            stage.network.load_state_dict(network.state_dict())
        except RuntimeError as error:
            raise ConfigError(
                f"estimator_from {preset}: its networks are of another shape",
                hint=EXPANDED_HINT if _is_expanded(stage) else "give the stacked estimator its widths and blocks",
            ) from error


def _is_expanded(network: nn.Module) -> bool:
    return any(isinstance(module, Block) and len(module.conv1) > 1 for module in network.modules())


def _networks(model: Restorer, preset: str) -> list[nn.Module]:
    """The networks that ``model`` adds one after another, for the times of its steps."""
    parts, steps = model.parts, model.spec.steps
    estimator, field = parts.get("mmse"), parts.get("fmir")
    if not isinstance(estimator, ResidualEstimator) or not isinstance(field, ResidualField):
        raise ConfigError(
            f"estimator_from {preset}: is no ELIR of residual networks", hint="name such a preset, for instance nano"
        )
    networks: list[nn.Module] = [estimator.network]
    for k in range(steps):
        step = copy.deepcopy(field)
        fold_field_time(step, k / steps)
        for value in step.network.last.parameters():
            value.div_(steps)
        networks.append(step.network)
    return networks
