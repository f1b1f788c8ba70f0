"""Specifications of networks that families share: frozen dataclasses. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from elir_edge.errors import ConfigError

NORM_GROUPS = 32
MAX_FIELD_WIDTH = 8192
MAX_LEVELS = 4


def within(name: str, value: int, low: int, high: int) -> None:
    """Raise ConfigError unless ``low`` <= ``value`` <= ``high``."""
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}, allowed is {low} to {high}", hint="choose a value in this range")


def nearest_multiple(value: int, multiple: int) -> int:
    """The multiple of ``multiple`` nearest to ``value``, at least ``multiple`` itself."""
    return max(multiple, (value + multiple // 2) // multiple * multiple)


@dataclass(frozen=True)
class ResidualSpec:
    """A residual network over the latent: ``blocks`` of two 3x3 convolutions with ReLU, no normalisation.

    ``widths`` are the channels at the latent's resolution and at each halving of it. ``blocks`` counts those at each
    width on the way down, at the last width, and on the way up again: 2 len(widths) - 1 numbers. ``time_features`` are
    those of a field's time embedding.
    """

    kind: str = "residual"
    widths: tuple[int, ...] = (64,)
    blocks: tuple[int, ...] = (8,)
    time_features: int = 64

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) <= MAX_LEVELS:
            raise ConfigError(
                f"widths has {len(self.widths)} entries, allowed are 1 to {MAX_LEVELS}",
                hint="give one width for each level",
            )
        if len(self.blocks) != 2 * len(self.widths) - 1:
            raise ConfigError(
                f"blocks has {len(self.blocks)} entries, {len(self.widths)} widths ask for {2 * len(self.widths) - 1}",
                hint="way down, last width, way up",
            )
        for width in self.widths:
            within("widths", width, 1, MAX_FIELD_WIDTH)
        for count in self.blocks:
            within("blocks", count, 0, 64)
        check_time_features("time_features", self.time_features)

    @property
    def stride(self) -> int:
        """How much smaller than the latent the coarsest level is."""
        return int(2 ** (len(self.widths) - 1))


def check_time_features(name: str, count: int) -> None:
    """Raise ConfigError unless the time embedding can have ``count`` features."""
    within(name, count, 4, 4096)
    if count % 2:
        raise ConfigError(f"{name} is {count}, and must be even: cosine and sine halves", hint="choose an even number")


@dataclass(frozen=True)
class StackedSpec:
    """Residual networks one after another, each adding to its input, over squares of 2^levels pixels a side.

    ELIR's ``nano`` is such a stack for a known time: its estimator, then its one Euler step.
    """

    kind: str = "stacked"
    levels: int = 1
    networks: tuple[ResidualSpec, ...] = (ResidualSpec(),)

    def __post_init__(self) -> None:
        within("levels", self.levels, 0, 4)
        within("number of networks", len(self.networks), 1, 16)

    @property
    def stride(self) -> int:
        """How much smaller than the image the coarsest level is."""
        return int(2**self.levels * max(network.stride for network in self.networks))


@dataclass(frozen=True)
class FieldSpec:
    """The vector field: a U-Net over the latent. Each level multiplies the width by its entry of ``multipliers``.

    A multiplier other than 1 also halves the resolution. Widths are multiples of 32, the number of norm groups.
    """

    kind: str = "unet"
    hidden: int = 128
    multipliers: tuple[int, ...] = (1, 2, 1, 2)
    mid_blocks: int = 1
    time_features: int = 160

    def __post_init__(self) -> None:
        within("field.hidden", self.hidden, NORM_GROUPS, 2048)
        if self.hidden % NORM_GROUPS:
            raise ConfigError(
                f"field.hidden is {self.hidden}, which does not divide into {NORM_GROUPS} normalisation groups",
                hint=f"use {nearest_multiple(self.hidden, NORM_GROUPS)}",
            )
        if not 1 <= len(self.multipliers) <= 8:
            raise ConfigError(
                f"field.multipliers has {len(self.multipliers)} entries, allowed are 1 to 8",
                hint="give one multiplier for each level",
            )
        for multiplier in self.multipliers:
            within("field.multipliers", multiplier, 1, 4)
        widest = self.hidden * math.prod(self.multipliers)
        if widest > MAX_FIELD_WIDTH:
            raise ConfigError(
                f"field.hidden times field.multipliers is {widest} channels, allowed are {MAX_FIELD_WIDTH}",
                hint="use a smaller hidden, or fewer multipliers",
            )
        within("field.mid_blocks", self.mid_blocks, 1, 32)
        check_time_features("field.time_features", self.time_features)

    @property
    def stride(self) -> int:
        """Latent pixels per pixel of the coarsest level along each axis."""
        return int(2 ** sum(multiplier != 1 for multiplier in self.multipliers))
