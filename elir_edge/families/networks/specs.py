"""Specifications of networks that families share: frozen dataclasses. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from elir_edge.errors import ConfigError

NORM_GROUPS = 32
MAX_FIELD_WIDTH = 8192


def within(name: str, value: int, low: int, high: int) -> None:
    """Raise ConfigError unless ``low`` <= ``value`` <= ``high``."""
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}, allowed is {low} to {high}", hint="choose a value in this range")


def nearest_multiple(value: int, multiple: int) -> int:
    """The multiple of ``multiple`` nearest to ``value``, at least ``multiple`` itself."""
    return max(multiple, (value + multiple // 2) // multiple * multiple)


@dataclass(frozen=True)
class FieldSpec:
    """The vector field: a U-Net over the latent. Each level multiplies the width by its entry of ``multipliers``.

    A multiplier other than 1 also halves the resolution. Widths are multiples of 32, the number of norm groups.
    """

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
        within("field.time_features", self.time_features, 4, 4096)
        if self.time_features % 2:
            raise ConfigError(
                f"field.time_features is {self.time_features}, and must be even: cosine and sine halves",
                hint="choose an even number",
            )

    @property
    def stride(self) -> int:
        """Latent pixels per pixel of the coarsest level along each axis."""
        return int(2 ** sum(multiplier != 1 for multiplier in self.multipliers))
