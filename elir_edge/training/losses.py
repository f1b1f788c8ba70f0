"""Training objectives: equations 3 to 5 of the ELIR paper (arXiv 2502.03500), as in its published code; rectified flow.

Latents are N x C x h x w, images N x 3 x H x W in [0, 1], times N in [0, 1]; every term is a scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

FLOOR = 1e-5  # 50 dB

VectorField = Callable[[Tensor, Tensor], Tensor]
Decoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FlowSettings:
    """``segments``: K of the multi-segment loss. ``dt``: time step. ``alpha``: weight of the velocity term."""

    segments: int = 5
    dt: float = 0.05
    alpha: float = 0.001
    sigma_min: float = 1e-5


class FlowTerms(NamedTuple):
    """Unweighted ``consistency`` and ``velocity``; ``segment_state`` f(t) and ``segment_end`` s for ``distortion``."""

    consistency: Tensor
    velocity: Tensor
    segment_state: Tensor
    segment_end: Tensor

    def loss(self, alpha: float) -> Tensor:
        """L_lcfm = consistency + alpha velocity."""
        return self.consistency + alpha * self.velocity


def mmse(coarse: Tensor, target: Tensor) -> Tensor:
    """L_mmse: mean squared error of the coarse latent to the teacher's latent of the clean image."""
    return (target - coarse).square().mean()


def segment_end(t: Tensor, segments: int) -> Tensor:
    """The smallest i / ``segments`` >= t with i >= 1."""
    nearest = torch.round(t * segments)
    index = torch.where(nearest / segments >= t, nearest, nearest + 1.0)
    return index.clamp(min=1.0) / segments


def path_point(start: Tensor, end: Tensor, t: Tensor, sigma_min: float) -> Tensor:
    """X_t = (1 - (1 - sigma_min) t) start + t end."""
    t = _per_sample(t)
    return (1.0 - (1.0 - sigma_min) * t) * start + t * end


def jump(state: Tensor, velocity: Tensor, t: Tensor, to: Tensor) -> Tensor:
    """state + (to - t) velocity: an Euler step from time ``t`` to time ``to``."""
    return state + _per_sample(to - t) * velocity


def flow_terms(field: VectorField, start: Tensor, end: Tensor, t: Tensor, settings: FlowSettings) -> FlowTerms:
    """Consistency of the jumps to the segment end s from ``t`` and from r = ``t + dt``, and of the velocities.

    ``start`` is the noisy coarse latent, ``end`` the teacher's. Gradients reach the field at time ``t`` only: the jump
    from r is the target. Where r >= s, the target is the point of the path at s.
    """
    s, r = segment_end(t, settings.segments), t + settings.dt
    state = path_point(start, end, t, settings.sigma_min)
    velocity = field(state, t)
    reached = jump(state, velocity, t, s)
    with torch.no_grad():
        later = path_point(start, end, r, settings.sigma_min)
        later_velocity = field(later, r)
        on_path = path_point(start, end, s, settings.sigma_min)
        target = torch.where(_per_sample(r < s), jump(later, later_velocity, r, s), on_path)
    consistency = (reached - target).square().mean()
    return FlowTerms(consistency, (velocity - later_velocity).square().mean(), reached, s)


def rectified_flow(field: VectorField, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Mean of (v(x_t, t) - (x_1 - x_0))^2 at x_t = (1 - t) x_0 + t x_1: the objective of Latent-PMRF's field.

    ``start`` is x_0, the noisy latent of the posterior mean, ``end`` is x_1, the latent of the clean image. Only the
    field has gradients.
    """
    start, end = start.detach(), end.detach()
    velocity = field(path_point(start, end, t, sigma_min=0.0), t)
    return (velocity - (end - start)).square().mean()


def distortion(field: VectorField, decoder: Decoder, image: Tensor, terms: FlowTerms) -> Tensor:
    """L_mse: mean squared error of the decoded X_hat to the clean image.

    X_hat = stopgrad(f(t)) + (1 - s) v(f(t), s); the argument of v has gradients.
    """
    state, s = terms.segment_state, terms.segment_end
    final = jump(state.detach(), field(state, s), s, torch.ones_like(s))
    return (image - decoder(final)).square().mean()


def pixel_error(image: Tensor, decoded: Tensor, measure: str) -> Tensor:
    """How far ``decoded`` is from ``image``: ``absolute``, ``squared`` or ``logarithm``.

    Absolute and squared: the mean absolute and the mean squared error. Logarithm: the mean over the pictures of a batch
    of ln(mean squared error + 1e-5), which is PSNR but for a factor, so that a picture with little noise counts as much
    as any other.
    """
    difference = image - decoded
    if measure == "absolute":
        return difference.abs().mean()
    if measure == "squared":
        return difference.square().mean()
    return torch.log(difference.square().mean((1, 2, 3)) + FLOOR).mean()


def reconstruction(image: Tensor, decoded: Tensor) -> Tensor:
    """Loss of the autoencoder: mean absolute plus mean squared error of pixels."""
    difference = image - decoded
    return difference.abs().mean() + difference.square().mean()


def _per_sample(value: Tensor) -> Tensor:
    return value[:, None, None, None]
