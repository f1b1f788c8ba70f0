"""The posterior mean in pixels: a network of the tool, or a module of the user's."""

from __future__ import annotations

import importlib

import torch
from torch import nn

from elir_edge.errors import ConfigError
from elir_edge.families.latent_pmrf.spec import ModuleSpec, ResidualSpec, StackedSpec
from elir_edge.families.networks.residual import ResidualEstimator
from elir_edge.families.networks.shuffle import COLOURS
from elir_edge.families.networks.stacked import StackedEstimator


def build_estimator(spec: ResidualSpec | StackedSpec | ModuleSpec | None, *, expanded: bool) -> nn.Module | None:
    """Image N x 3 x H x W in [0, 1] -> estimate of the same shape; None where there is none.

    Raises ConfigError where the module of a ``ModuleSpec`` cannot be imported, or is no ``nn.Module`` that can be built
    without arguments.
    """
    if spec is None:
        return None
    if isinstance(spec, ModuleSpec):
        return _import_module(spec.path)
    if isinstance(spec, StackedSpec):
        return StackedEstimator(spec, expanded=expanded)
    return ResidualEstimator(spec, COLOURS, expanded=expanded)


def _import_module(path: str) -> nn.Module:
    """Only a class derived from ``nn.Module`` is called: a specification may come from a stranger.

    It is built with data even where the rest of the model is not (``torch.device("meta")``): it may read its numbers.
    """
    place, _, name = path.partition(":")
    try:
        kind = getattr(importlib.import_module(place), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"estimator.path '{path}': {error}", hint="is its package installed, or on PYTHONPATH?"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ConfigError(
            f"estimator.path '{path}' is not a class derived from torch.nn.Module",
            hint="name a class of torch.nn.Module as package.module.Class",
        )
    try:
        with torch.device("cpu"):
            built: nn.Module = kind()
    except Exception as error:  # the code is the user's: anything may come out of it
        raise ConfigError(
            f"estimator.path '{path}' cannot be built without arguments: {type(error).__name__}: {error}",
            hint="give every argument of the class a default; its constructor has to run on the CPU",
        ) from error
    return built
