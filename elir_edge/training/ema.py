"""Exponential moving average of the weights: the weights that are published."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

DECAY = 0.999
WARM_UP_STEPS = 2000.0


def decay_at(step: int, decay: float = DECAY, warm_up: float = WARM_UP_STEPS) -> float:
    """d = decay (1 - exp(-step / warm_up)); 0 at step 0, so that the average starts as the first weights."""
    return decay * (1.0 - math.exp(-step / warm_up))


class MovingAverage:
    """Averages of the parameters of a module, by name; a tied one under each of its names, as in ``state_dict``."""

    def __init__(self, module: nn.Module) -> None:
        self.values = {name: value.detach().clone() for name, value in _parameters(module)}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """average <- d average + (1 - d) parameter, d = ``decay_at(step)``."""
        share = 1.0 - decay_at(step)
        for name, value in _parameters(module):
            self.values[name] = self.values[name].to(value.device).lerp_(value.detach(), share)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the averages."""
        return {name: value.clone() for name, value in self.values.items()}

    def load_state_dict(self, values: dict[str, Tensor]) -> None:
        """Set the averages from the result of ``state_dict``. Raises KeyError where names differ."""
        if values.keys() != self.values.keys():
            raise KeyError(f"averages of other parameters: {sorted(values.keys() ^ self.values.keys())[:3]}")
        self.values = {name: value.clone() for name, value in values.items()}


def _parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return module.named_parameters(remove_duplicate=False)
