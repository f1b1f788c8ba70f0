"""How pictures are restored: what the command and Python share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elir_edge.core.plain import is_integer
from elir_edge.errors import UsageError
from elir_edge.imaging.noise import MAX_SEED
from elir_edge.imaging.opening import PROFILES
from elir_edge.imaging.saving import DEFAULT_QUALITY
from elir_edge.imaging.tiling import DEFAULT_OVERLAP

ALPHAS = ("keep", "restore")


@dataclass(frozen=True)
class Settings:
    """How pictures are restored.

    Args:
        seed: draws the noise where it is an input. overlap: pixels that tiles share at least.
        alpha: "keep" passes it through, "restore" restores it as a grey picture of its own.
        profile: "keep" or "srgb", see ``open_picture``. quality: 1 to 100, of lossy formats.
        force: restore what is done already, and replace what is in the way.

    Raises UsageError for a value that is not allowed.
    """

    seed: int = 0
    overlap: int = DEFAULT_OVERLAP
    alpha: str = "keep"
    profile: str = "keep"
    quality: int = DEFAULT_QUALITY
    force: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("alpha", ALPHAS), ("profile", PROFILES)):
            if getattr(self, name) not in allowed:
                given = f"{name} '{getattr(self, name)}'"
                raise UsageError(f"{given} is not one of {', '.join(allowed)}", hint="choose one of these")
        for name, least, most in (("seed", 0, MAX_SEED), ("quality", 1, 100)):
            value = getattr(self, name)
            if not is_integer(value) or not least <= value <= most:
                given = f"{name} {value} is no whole number"
                raise UsageError(f"{given} between {least} and {most}", hint="choose a value in this range")
            object.__setattr__(self, name, int(value))  # keys of journals have its text
        if not isinstance(self.overlap, int | np.integer):
            raise UsageError(f"an overlap of {self.overlap} is no whole number of pixels", hint="give an int")
        object.__setattr__(self, "overlap", int(self.overlap))
