"""The reference model in PyTorch, of any family, with the tensor names of published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elir_edge.errors import ConfigError, UsageError
from elir_edge.families.base import IMAGE, RESTORED, Walk, walk
from elir_edge.families.networks.euler import euler_step
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.noise import draw_noise

DEFAULT_SEED = 0
STATE = "state_"


@dataclass(frozen=True)
class Trajectory:
    """All stages of one restoration by name, in ``values`` and as attributes: ``trajectory.encoded``.

    Latents are N x C x h x w, images N x 3 x H x W. ``unclipped_image`` is the image before the clip to [0, 1],
    ``restored`` the one after it.
    """

    values: Mapping[str, Tensor]

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("_") or name not in self.values:
            raise AttributeError(f"there is no stage '{name}'")
        return self.values[name]

    @property
    def states(self) -> tuple[Tensor, ...]:
        """z_0 .. z_K, each N x C x h x w."""
        return tuple(value for name, value in self.values.items() if name.startswith(STATE))

    @property
    def unclipped_image(self) -> Tensor:
        """The restored image before the clip to [0, 1]."""
        return self.values[RESTORED]

    @property
    def restored(self) -> Tensor:
        """The restored image in [0, 1]."""
        return self.unclipped_image.clamp(0.0, 1.0)


@dataclass(frozen=True)
class WeightSource:
    """Source of weights: ``name`` to show, ``kind``, ``sha256`` of the source, ``trained`` or stand-ins."""

    name: str
    kind: str
    sha256: str
    trained: bool


class Restorer(nn.Module):
    """Degraded image -> restored image, N x 3 x H x W in [0, 1].

    The family's parts are attributes; ELIR's are ``enc``, ``mmse`` (estimator), ``fmir`` (field) and ``dec``.
    ``expanded`` builds the collapsible linear blocks of training instead of single convolutions.
    """

    pixel_gain = 1.0  # a static graph may use 0..255 instead

    def __init__(self, spec: ModelSpec, *, expanded: bool = False) -> None:
        super().__init__()
        self.spec = spec
        self.source: WeightSource | None = None
        for name, part in spec.family.parts(spec, expanded=expanded).items():
            self.register_module(name, part)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # the family's parts

    @property
    def trained(self) -> bool:
        """Whether the weights are trained, not stand-ins. Weights without a source count as trained."""
        return self.source is None or self.source.trained

    @property
    def parts(self) -> dict[str, nn.Module | None]:
        """The family's parts by name; None for a part that this model lacks."""
        return dict(self._modules)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Restore ``image``, N x 3 x H x W in [0, 1] -> the same shape, clipped to [0, 1].

        ``noise`` is standard normal and has the latent's shape N x C x h x w; None draws it from seed 0. Raises
        UsageError for an image or noise of the wrong shape, ConfigError for sides that are no allowed multiple.
        """
        return self.trajectory(image, noise).restored

    def trajectory(self, image: Tensor, noise: Tensor | None = None) -> Trajectory:
        """All stages of ``forward``; same arguments and errors, and ConfigError for a model that changes the size."""
        self._check(image)
        values = walk(self.spec.family.stages(self.spec, self.spec.takes_noise), Walk(self, {IMAGE: image}, noise))
        if values[RESTORED].shape != image.shape:
            raise ConfigError(
                f"the model makes {tuple(values[RESTORED].shape)} of an image of {tuple(image.shape)}",
                hint="take a model that keeps the size: a larger picture is made before the model gets it",
            )
        return Trajectory({name: value for name, value in values.items() if name != IMAGE})

    def euler_step(self, k: int, z: Tensor) -> Tensor:
        """z_{k+1} = z_k + field(z_k, k / K) / K."""
        return euler_step(getattr(self, self.spec.family.field or ""), z, k / self.spec.steps, self.spec.steps)

    def add_noise(self, z: Tensor, noise: Tensor | None) -> Tensor:
        """``z + sigma_s * noise``; None draws the noise from seed 0. Raises UsageError for noise of another shape."""
        if noise is None:
            noise = torch.from_numpy(draw_noise(DEFAULT_SEED, tuple(z.shape)))
        if noise.shape != z.shape:
            raise UsageError(
                f"noise has shape {tuple(noise.shape)}, the latent has {tuple(z.shape)}",
                hint="leave noise out, or draw it in the latent's shape",
            )
        return z + self.spec.sigma_s * noise.to(z)

    def _check(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
            raise UsageError(
                f"image is {image.dtype} {tuple(image.shape)}, expected floating point N x 3 x H x W in [0, 1]",
                hint="elir_edge.restore_picture takes pictures of any kind",
            )
        self.spec.check_size(*image.shape[2:])
