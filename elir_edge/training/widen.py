"""A model that begins as a narrower trained one: the same function, with new channels beside the trained ones.

As Net2Net (Chen et al., arXiv 1511.05641) begins a wider network, with new channels in place of copied ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elir_edge.errors import ConfigError
from elir_edge.families.restorer import Restorer
from elir_edge.families.weights import load_restorer

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
HINT = "name a preset with the same parts, as many blocks and at most as many channels, and write expanded: false"


@torch.no_grad()
def begin_wider(restorer: Restorer, preset: str) -> None:
    """Give the first channels of each layer of ``restorer`` the weights of ``preset``: it restores as that model does.

    The other channels keep their weights and read the trained channels; no trained channel reads them yet. Raises
    ConfigError where a layer of ``preset`` is missing in ``restorer``, or is larger there.
    """
    narrow = dict(load_restorer(preset).named_modules())
    wide = dict(restorer.named_modules())
    _require(_tensors(narrow).keys() == _tensors(wide).keys(), preset)
    for name, module in narrow.items():
        for kind, values in module.named_parameters(recurse=False):
            _place(values, getattr(wide[name], kind), preset, transposed=isinstance(module, TRANSPOSED))


def _tensors(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}.{kind}": values
        for name, module in modules.items()
        for kind, values in module.named_parameters(recurse=False)
    }


def _place(values: Tensor, into: Tensor, preset: str, *, transposed: bool) -> None:
    """Copy ``values`` to the first channels of ``into``, whose other inputs of these outputs become 0."""
    kernel = values.shape[2:]
    fits = values.dim() == into.dim() and kernel == into.shape[2:]
    _require(fits and all(a <= b for a, b in zip(values.shape, into.shape, strict=True)), preset)
    if values.dim() == 1:
        into[: len(values)] = values
        return
    if transposed:
        values, into = values.transpose(0, 1), into.transpose(0, 1)
    outputs, inputs = values.shape[:2]
    into[:outputs, inputs:] = 0
    into[:outputs, :inputs] = values


def _require(fits: bool, preset: str) -> None:
    if not fits:
        raise ConfigError(f"begin_wider {preset}: its layers are not those of the model, or not narrower", hint=HINT)
