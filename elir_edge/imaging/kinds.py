"""Kinds of pictures that a model meets: of its task, clean, hardly or strongly degraded, dark, bright, saturated, flat.

What is fitted to one kind alone clips another: int8 is calibrated on all kinds and held to its gate on all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from elir_edge.imaging.degradations import Degradation

TASK, CLEAN, LIGHT, STRONG = "task", "clean", "light", "strong"
LIGHT_SHARE = 0.3
STRONG_DRAWS = 8
DARK_SHARE = 0.25
BRIGHT_GAIN, BRIGHT_OFFSET = 1.6, 40.0
SATURATION = 3.0
FLAT_CONTRAST = 0.1
SEPARATOR = ", "


def dark_tones(image: np.ndarray) -> np.ndarray:
    """A quarter of the brightness: the whole picture in the lowest 64 levels."""
    return _bytes(image * DARK_SHARE)


def bright_tones(image: np.ndarray) -> np.ndarray:
    """Overexposed: 40 + 1.6 x, clipped."""
    return _bytes(image * BRIGHT_GAIN + BRIGHT_OFFSET)


def saturated_colours(image: np.ndarray) -> np.ndarray:
    """Three times the distance of each pixel's colour from its grey, clipped."""
    grey = image.mean(2, keepdims=True)
    return _bytes(grey + SATURATION * (image - grey))


def flat_tones(image: np.ndarray) -> np.ndarray:
    """A tenth of the contrast around the mean of each channel."""
    mean = image.mean((0, 1), keepdims=True)
    return _bytes(mean + FLAT_CONTRAST * (image - mean))


TONES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dark": dark_tones,
    "bright": bright_tones,
    "saturated": saturated_colours,
    "flat": flat_tones,
}
KINDS = (TASK, CLEAN, LIGHT, STRONG, *TONES)


def picture_of_kind(
    kind: str, clean: np.ndarray, degradation: Degradation, rng: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(original, degraded) of ``kind``, one of ``KINDS``, from the picture ``clean``; uint8 H x W x 3 all.

    ``task``: degraded. ``clean``: as it is. ``light``: three tenths of the way from clean to degraded. ``strong``: the
    furthest from the original of 8 degraded ones. The others: of that tone, degraded as ``light``.
    """
    original = TONES[kind](clean) if kind in TONES else clean
    if kind == CLEAN:
        return original, original
    draws = [degradation.apply(original, rng) for _ in range(STRONG_DRAWS if kind == STRONG else 1)]
    degraded = max(draws, key=lambda drawn: _squared_distance(drawn, original))
    if kind in (TASK, STRONG):
        return original, degraded
    return original, _bytes(original + LIGHT_SHARE * (degraded.astype(np.float64) - original))


def label_of(name: str, kind: str) -> str:
    """The name of a picture of ``kind`` made from the picture ``name``."""
    return f"{name}{SEPARATOR}{kind}"


def kind_of(label: str) -> str | None:
    """The kind that ``label_of`` put into ``label``; None where there is none."""
    kind = label.rpartition(SEPARATOR)[2]
    return kind if kind in KINDS and kind != label else None


def _squared_distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.square(first.astype(np.float32) - second).mean())


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)
