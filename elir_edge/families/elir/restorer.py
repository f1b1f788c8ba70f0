"""The whole model: encoder, coarse estimate, K Euler steps of the field, decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from elir_edge.errors import UsageError
from elir_edge.families.elir.autoencoder import Decoder, Encoder
from elir_edge.families.elir.estimator import Estimator
from elir_edge.families.elir.field import Field
from elir_edge.families.elir.solver import euler
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.noise import draw_noise

DEFAULT_SEED = 0


class Trajectory(NamedTuple):
    """Every named stage of one restoration. Latents are N x C x h x w, images N x 3 x H x W."""

    encoded: Tensor
    coarse: Tensor
    states: tuple[Tensor, ...]
    decoded: Tensor
    restored: Tensor


@dataclass(frozen=True)
class WeightSource:
    """Where weights came from: a ``name`` to show, the ``sha256`` of their source, whether they were ``trained``."""

    name: str
    kind: str
    sha256: str
    trained: bool


class Restorer(nn.Module):
    """A degraded image in, a restored image out.

    The parts carry the prefixes of the published checkpoints: ``enc``, ``mmse`` (estimator), ``fmir`` (field), ``dec``.
    ``expanded`` builds the collapsible linear blocks of training in place of single convolutions.
    """

    def __init__(self, spec: ModelSpec, *, expanded: bool = False) -> None:
        super().__init__()
        channels = spec.autoencoder.latent_channels
        self.spec = spec
        self.source: WeightSource | None = None
        self.enc = Encoder(spec.autoencoder)
        self.mmse = Estimator(spec.estimator, channels, expanded=expanded) if spec.estimator else None
        self.fmir = Field(spec.field, channels, expanded=expanded) if spec.field else None
        self.dec = Decoder(spec.autoencoder)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Restore ``image``, N x 3 x H x W in [0, 1] -> the same shape, clipped to [0, 1].

        ``noise`` is standard normal, N x C x h x w of the latent, scaled by sigma_s inside; None draws it from a fixed
        seed. Raises UsageError for shapes the network cannot take.
        """
        return self.trajectory(image, noise).restored

    def trajectory(self, image: Tensor, noise: Tensor | None = None) -> Trajectory:
        """As ``forward``, and every stage on the way. ``states`` holds z_0 .. z_K; ``decoded`` is before the clip."""
        self._check(image)
        encoded = self.enc(image)
        coarse = self.mmse(encoded) if self.mmse is not None else encoded
        states = self._flow(coarse, noise)
        decoded = self.dec(states[-1])
        return Trajectory(encoded, coarse, tuple(states), decoded, decoded.clamp(0.0, 1.0))

    def _flow(self, coarse: Tensor, noise: Tensor | None) -> list[Tensor]:
        if self.fmir is None:
            return [coarse]
        if noise is None:
            noise = torch.from_numpy(draw_noise(DEFAULT_SEED, tuple(coarse.shape)))
        if noise.shape != coarse.shape:
            raise UsageError(f"noise has shape {tuple(noise.shape)}, the latent has {tuple(coarse.shape)}")
        z = coarse + self.spec.sigma_s * noise.to(coarse)
        return euler(self.fmir, z, self.spec.steps)

    def _check(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
            raise UsageError(
                f"image is {image.dtype} {tuple(image.shape)}, expected floating point N x 3 x H x W in [0, 1]"
            )
        self.spec.check_size(*image.shape[2:])
