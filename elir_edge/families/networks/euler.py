"""The solver, kept apart from the field that it walks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

VectorField = Callable[..., Tensor]


def euler_step(field: VectorField, z: Tensor, t: float | None, divisor: float) -> Tensor:
    """Forward Euler: ``z + field(z, t) / divisor``, N x C x h x w; the divisor is 1 / dt, t lies in [0, 1].

    ``t`` None is for a field whose time is folded into its weights.
    """
    times = () if t is None else (torch.full((z.shape[0],), t, dtype=z.dtype, device=z.device),)
    velocity = field(z, *times)
    return z + (velocity if divisor == 1 else velocity / divisor)
