"""How pictures are restored: what the command and Python share."""

from __future__ import annotations

from dataclasses import dataclass

from elir_edge.errors import UsageError
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
        if self.alpha not in ALPHAS:
            raise UsageError(f"alpha '{self.alpha}' is not one of {', '.join(ALPHAS)}", hint="choose one of these")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality {self.quality} is not between 1 and 100", hint="choose a value in this range")
