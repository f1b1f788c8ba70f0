"""The conditions that a model is judged under: degradations of fixed strength, as the field states them.

The level of Gaussian noise is its standard deviation on the scale of 255. ``clipped`` is what a file holds: rounded to
8 bit. Unclipped noise, which the literature uses, leaves [0, 255] and only a float model can be given it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from elir_edge.imaging.camera import sensor_noise
from elir_edge.imaging.pixels import add_noise, blur, jpeg

LEVELS = (0, 5, 15, 25, 50)
JPEG_QUALITIES = (90, 60, 30)
BLURS = (0.6, 1.0)
SENSORS = {"weak": (5e-4, 1e-3), "medium": (4e-3, 5e-3), "strong": (1.5e-2, 1.5e-2)}


@dataclass(frozen=True)
class Condition:
    """``degrade`` maps uint8 H x W x 3 to the same, or to float32 of about 0..255 where it is not ``clipped``.

    ``sigma`` is the noise level that non-blind peers are told; 0 where there is none to tell.
    """

    name: str
    degrade: Callable[[np.ndarray, Generator], np.ndarray]
    sigma: float = 0.0
    clipped: bool = True


def gaussian(sigma: float, clipped: bool = True) -> Condition:
    """Noise of one level."""
    if clipped:
        return Condition(f"noise {sigma:g}", lambda image, rng: add_noise(image, sigma, rng), sigma)

    def degrade(image: np.ndarray, rng: Generator) -> np.ndarray:
        return image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma)

    return Condition(f"noise {sigma:g}, unclipped", degrade, sigma, clipped=False)


def all_conditions() -> tuple[Condition, ...]:
    """Gaussian noise clipped and unclipped, then what files of cameras have: JPEG, blur, sensor noise."""
    return (
        *(gaussian(sigma) for sigma in LEVELS),
        *(gaussian(sigma, clipped=False) for sigma in LEVELS if sigma),
        *(_jpeg(quality) for quality in JPEG_QUALITIES),
        *(_blur(sigma) for sigma in BLURS),
        *(_sensor(name, *strength) for name, strength in SENSORS.items()),
    )


def _jpeg(quality: int) -> Condition:
    return Condition(f"JPEG {quality}", lambda image, rng: jpeg(image, quality))


def _blur(sigma: float) -> Condition:
    return Condition(f"blur {sigma:g}", lambda image, rng: blur(image, sigma))


def _sensor(name: str, shot: float, read: float) -> Condition:
    return Condition(f"camera, {name}", lambda image, rng: sensor_noise(image, shot, read, rng))
