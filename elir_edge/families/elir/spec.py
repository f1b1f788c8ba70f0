"""Specification of an ELIR model: frozen dataclasses. Imports no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from elir_edge.families.networks.specs import FieldSpec, ResidualSpec, within
from elir_edge.families.spec import ModelSpec

__all__ = ["AutoencoderSpec", "ElirSpec", "EstimatorSpec", "FieldSpec", "ResidualSpec", "ShuffleSpec"]


@dataclass(frozen=True)
class AutoencoderSpec:
    """The tiny autoencoder: ``levels`` halvings of the image, ``blocks`` residual blocks at each level.

    ``midblock_pooling`` adds the normalized bottleneck of the FLUX.2 tiny autoencoder to the blocks next to the latent.
    """

    kind: str = "convolutional"
    latent_channels: int = 16
    width: int = 64
    levels: int = 3
    blocks: int = 3
    midblock_pooling: bool = False

    def __post_init__(self) -> None:
        within("autoencoder.latent_channels", self.latent_channels, 1, 256)
        within("autoencoder.width", self.width, 4, 1024)
        within("autoencoder.levels", self.levels, 1, 5)
        within("autoencoder.blocks", self.blocks, 1, 16)


@dataclass(frozen=True)
class ShuffleSpec:
    """An autoencoder without weights: ``levels`` times, 2x2 squares of pixels become pixels of 4 times the channels.

    It loses nothing: the latent has 3 * 4^levels channels and holds the picture itself.
    """

    kind: str = "shuffle"
    levels: int = 2

    def __post_init__(self) -> None:
        within("autoencoder.levels", self.levels, 1, 4)

    @property
    def latent_channels(self) -> int:
        """Channels of the latent."""
        return int(3 * 4**self.levels)


@dataclass(frozen=True)
class EstimatorSpec:
    """The coarse estimator: ``blocks`` RRDBs over the latent, whose dense layers have ``hidden`` channels."""

    kind: str = "rrdb"
    hidden: int = 96
    blocks: int = 3

    def __post_init__(self) -> None:
        within("estimator.hidden", self.hidden, 1, 1024)
        within("estimator.blocks", self.blocks, 1, 32)


@dataclass(frozen=True)
class ElirSpec(ModelSpec):
    """An ELIR model: encoder, estimator or none, field with ``steps`` Euler steps or none, decoder."""

    autoencoder: AutoencoderSpec | ShuffleSpec = dataclasses.field(default_factory=AutoencoderSpec)
    estimator: EstimatorSpec | ResidualSpec | None = dataclasses.field(default_factory=EstimatorSpec)
    field: FieldSpec | ResidualSpec | None = dataclasses.field(default_factory=FieldSpec)

    @property
    def family_name(self) -> str:
        """``elir``."""
        return "elir"

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
        return int(2**self.autoencoder.levels)

    @property
    def size_multiple(self) -> int:
        """Heights and widths must be multiples of this: every level has whole pixels."""
        strides = [part.stride for part in (self.estimator, self.field) if isinstance(part, FieldSpec | ResidualSpec)]
        return self.latent_stride * max(strides, default=1)
