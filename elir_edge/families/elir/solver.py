"""Walking a vector field: forward Euler, kept apart from the field itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

VectorField = Callable[[Tensor, Tensor], Tensor]


def euler(field: VectorField, z: Tensor, steps: int) -> list[Tensor]:
    """States z_0 .. z_K of ``z_{k+1} = z_k + field(z_k, k/K) / K``, K = ``steps``, from t = 0 to t = 1."""
    states = [z]
    for k in range(steps):
        t = torch.full((z.shape[0],), k / steps, dtype=z.dtype, device=z.device)
        states.append(states[-1] + field(states[-1], t) / steps)
    return states
