"""The reference model in PyTorch, of any family, with the tensor names of the published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elir_edge.errors import UsageError
from elir_edge.families.base import IMAGE, RESTORED, Walk, walk
from elir_edge.families.networks.euler import euler_step
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.noise import draw_noise

DEFAULT_SEED = 0
STATE = "state_"


@dataclass(frozen=True)
class Trajectory:
    """Every named stage of one restoration, in ``values``, and by attribute: ``trajectory.encoded``.

    Latents are N x C x h x w, images N x 3 x H x W. ``decoded`` is before the clip, ``restored`` after it.
    """

    values: Mapping[str, Tensor]

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("_") or name not in self.values:
            raise AttributeError(f"there is no stage '{name}'")
        return self.values[name]

    @property
    def states(self) -> tuple[Tensor, ...]:
        """z_0 .. z_K."""
        return tuple(value for name, value in self.values.items() if name.startswith(STATE))

    @property
    def decoded(self) -> Tensor:
        """What the last stage gives, not yet clipped."""
        return self.values[RESTORED]

    @property
    def restored(self) -> Tensor:
        """The restored image in [0, 1]."""
        return self.decoded.clamp(0.0, 1.0)


@dataclass(frozen=True)
class WeightSource:
    """Where weights came from: a ``name`` to show, the ``sha256`` of their source, whether they were ``trained``."""

    name: str
    kind: str
    sha256: str
    trained: bool


class Restorer(nn.Module):
    """A degraded image in, a restored image out.

    The parts are attributes under the prefixes that the family gives them; ELIR's are ``enc``, ``mmse`` (estimator),
    ``fmir`` (field), ``dec``. ``expanded`` builds the collapsible linear blocks of training in place of single
    convolutions.
    """

    pixel_gain = 1.0  # of stages that are pixels; a static graph may carry 0..255

    def __init__(self, spec: ModelSpec, *, expanded: bool = False) -> None:
        super().__init__()
        self.spec = spec
        self.source: WeightSource | None = None
        for name, part in spec.family.parts(spec, expanded=expanded).items():
            self.register_module(name, part)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # the family's parts

    @property
    def parts(self) -> dict[str, nn.Module | None]:
        """The family's parts by name, None for one that this model lacks."""
        return dict(self._modules)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Restore ``image``, N x 3 x H x W in [0, 1] -> the same shape, clipped to [0, 1].

        ``noise`` is standard normal, N x C x h x w of the latent, scaled by sigma_s inside; None draws it from a fixed
        seed. Raises UsageError for shapes the network cannot take.
        """
        return self.trajectory(image, noise).restored

    def trajectory(self, image: Tensor, noise: Tensor | None = None) -> Trajectory:
        """As ``forward``, and every stage on the way."""
        self._check(image)
        values = walk(self.spec.family.stages(self.spec, self.spec.takes_noise), Walk(self, {IMAGE: image}, noise))
        return Trajectory({name: value for name, value in values.items() if name != IMAGE})

    def euler_step(self, k: int, z: Tensor) -> Tensor:
        """z_{k+1} from z_k."""
        return euler_step(getattr(self, self.spec.family.field or ""), z, k / self.spec.steps, self.spec.steps)

    def add_noise(self, z: Tensor, noise: Tensor | None) -> Tensor:
        """``z + sigma_s * noise``; None draws it from a fixed seed. Raises UsageError for noise of another shape."""
        if noise is None:
            noise = torch.from_numpy(draw_noise(DEFAULT_SEED, tuple(z.shape)))
        if noise.shape != z.shape:
            raise UsageError(f"noise has shape {tuple(noise.shape)}, the latent has {tuple(z.shape)}")
        return z + self.spec.sigma_s * noise.to(z)

    def _check(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
            raise UsageError(
                f"image is {image.dtype} {tuple(image.shape)}, expected floating point N x 3 x H x W in [0, 1]"
            )
        self.spec.check_size(*image.shape[2:])
