"""The solver, independent of the field."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

VectorField = Callable[..., Tensor]


def euler_step(field: VectorField, z: Tensor, t: float | None, divisor: float) -> Tensor:
    """A forward Euler step, ``z + field(z, t) / divisor``, of z N x C x h x w; ``divisor`` is 1 / dt, t in [0, 1].

    ``t`` None: the time is folded into the field's weights.
    """
    times = () if t is None else (torch.full((z.shape[0],), t, dtype=z.dtype, device=z.device),)
    velocity = field(z, *times)
    return z + (velocity if divisor == 1 else velocity / divisor)
