"""Specification of a Latent-PMRF model: frozen dataclasses. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

from elir_edge.errors import ConfigError
from elir_edge.families.networks.specs import FieldSpec, ResidualSpec, StackedSpec, within
from elir_edge.families.spec import ModelSpec

__all__ = ["FieldSpec", "LatentPmrfSpec", "ModuleSpec", "ResidualSpec", "SimVaeSpec", "StackedSpec"]

IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
MAX_WIDTH = 4096
MAX_AFFINE = 1e6
PATCHES = (1, 2, 4, 8)


@dataclass(frozen=True)
class SimVaeSpec:
    """Sim-VAE: one width per level; each level but the last halves the image.

    ``patch``: squares of so many pixels a side become channels before the first convolution, and pixels again after the
    last, so that a small network wastes no work on full resolution; the published Sim-VAE has 1.
    ``shift`` and ``scale`` bring the latent to unit size: z = (mean - shift) * scale; ``config.json`` states them.
    """

    latent_channels: int = 16
    widths: tuple[int, ...] = (128, 256, 512, 512)
    encoder_blocks: int = 2
    decoder_blocks: int = 3
    mid_blocks: int = 3
    patch: int = 1
    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        within("autoencoder.latent_channels", self.latent_channels, 1, 256)
        if not 1 <= len(self.widths) <= 6:
            raise ConfigError(
                f"autoencoder.widths has {len(self.widths)} entries, allowed are 1 to 6",
                hint="give one width for each level",
            )
        for width in self.widths:
            within("autoencoder.widths", width, 2, MAX_WIDTH)
        for name in ("encoder_blocks", "decoder_blocks", "mid_blocks"):
            within(f"autoencoder.{name}", getattr(self, name), 0, 32)
        if self.patch not in PATCHES:
            raise ConfigError(f"autoencoder.patch is {self.patch}", hint="choose 1, 2, 4 or 8")
        if not abs(self.shift) <= MAX_AFFINE:
            raise ConfigError(
                f"autoencoder.shift is {self.shift}, allowed is {-MAX_AFFINE:g} to {MAX_AFFINE:g}",
                hint="choose a value in this range",
            )
        if not 1 / MAX_AFFINE <= self.scale <= MAX_AFFINE:
            raise ConfigError(
                f"autoencoder.scale is {self.scale}, allowed is {1 / MAX_AFFINE:g} to {MAX_AFFINE:g}",
                hint="choose a value in this range",
            )

    @property
    def stride(self) -> int:
        """Image pixels per latent pixel along each axis."""
        return int(self.patch * 2 ** (len(self.widths) - 1))

    @property
    def patch_levels(self) -> int:
        """How often 2 x 2 pixels become one."""
        return self.patch.bit_length() - 1


@dataclass(frozen=True)
class ModuleSpec:
    """A network of your own: ``path`` is ``package.module:Class``, an ``nn.Module`` that is built without arguments.

    It maps N x 3 x H x W in [0, 1] to the same; ``stride`` divides the sides of its images. Its weights are the tensors
    ``estimator.*`` of the checkpoint.
    """

    kind: str = "module"
    path: str = ""
    stride: int = 1

    def __post_init__(self) -> None:
        if not IMPORT_PATH.fullmatch(self.path):
            raise ConfigError(f"estimator.path is '{self.path:.100}'", hint="write it as package.module:Class")
        within("estimator.stride", self.stride, 1, 256)


@dataclass(frozen=True)
class LatentPmrfSpec(ModelSpec):
    """A Latent-PMRF model: estimator of pixels or none, encoder, field with ``steps`` Euler steps or none, decoder."""

    estimator: ResidualSpec | StackedSpec | ModuleSpec | None = dataclasses.field(default_factory=ResidualSpec)
    autoencoder: SimVaeSpec = dataclasses.field(default_factory=SimVaeSpec)
    field: FieldSpec | ResidualSpec | None = dataclasses.field(default_factory=FieldSpec)

    @property
    def family_name(self) -> str:
        """``latent_pmrf``."""
        return "latent_pmrf"

    @property
    def foreign_parts(self) -> tuple[str, ...]:
        """The estimator, where it is a module of the user's."""
        return ("estimator",) if isinstance(self.estimator, ModuleSpec) else ()

    @property
    def has_flow(self) -> bool:
        """Whether the model has a field."""
        return self.field is not None

    @property
    def latent_channels(self) -> int:
        """Channels of the latent."""
        return self.autoencoder.latent_channels

    @property
    def latent_stride(self) -> int:
        """Image pixels per latent pixel along each axis."""
        return self.autoencoder.stride

    @property
    def size_multiple(self) -> int:
        """Heights and widths must be multiples of this: every level of every network has whole pixels."""
        latent = self.latent_stride * (self.field.stride if self.field else 1)
        return math.lcm(latent, self.estimator.stride if self.estimator else 1)
