"""Noise as a camera makes it: photons and electronics on a Bayer mosaic, demosaicked, in linear light.

Poisson-Gaussian sensor noise after Foi, Trimeche, Katkovnik, Egiazarian, "Practical Poissonian-Gaussian noise modeling
and fitting for single-image raw-data" (TIP 2008): variance a x + b at the linear value x in [0, 1]. Bilinear
demosaicking (of green, a smoother kind: see ``_demosaic``) makes it correlated between neighbours and channels, the
tone curve makes it depend on brightness. The picture itself stays sharp: what demosaicking takes from it is left out.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from elir_edge.imaging.pixels import to_uint8

GAMMA = 2.2
SHOT = (1e-4, 3e-2)  # a, drawn log-uniformly
READ = (2e-4, 3e-2)  # sqrt(b), drawn log-uniformly
TAPS = np.array([0.5, 1.0, 0.5], np.float32)
SHARES = (1.0, 0.5, 1.0)  # the mosaic has twice as many green ones


def camera_noise(image: np.ndarray, rng: Generator) -> np.ndarray:
    """uint8 H x W x 3 -> the same as a small sensor at a random sensitivity would have given it."""
    shot, read = (float(np.exp(rng.uniform(*np.log(ends)))) for ends in (SHOT, READ))
    return sensor_noise(image, shot, read, rng)


def sensor_noise(image: np.ndarray, shot: float, read: float, rng: Generator) -> np.ndarray:
    """The same at given ``shot`` a and ``read`` sqrt(b); mosaic RGGB, beginning at a random one of its four places."""
    linear = (image.astype(np.float32) / np.float32(255)) ** np.float32(GAMMA)
    noise = rng.standard_normal(image.shape[:2], dtype=np.float32)
    spread = np.sqrt(np.float32(shot) * linear + np.float32(read**2))
    for channel, mask in enumerate(_masks(image.shape[:2], int(rng.integers(4)))):
        linear[:, :, channel] += SHARES[channel] * _demosaic(noise * spread[:, :, channel] * mask)
    return to_uint8(np.clip(linear, 0, 1) ** np.float32(1 / GAMMA) * np.float32(255))


def _masks(shape: tuple[int, int], start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the mosaic has red, green and blue."""
    rows = (np.arange(shape[0]) + start // 2) % 2
    columns = (np.arange(shape[1]) + start % 2) % 2
    red = np.outer(rows == 0, columns == 0).astype(np.float32)
    blue = np.outer(rows == 1, columns == 1).astype(np.float32)
    return red, 1 - red - blue, blue


def _demosaic(seen: np.ndarray) -> np.ndarray:
    """``seen``, H x W, 0 where the mosaic has another colour, smoothed by [1/2, 1, 1/2] along both axes.

    For red and blue that is bilinear demosaicking. For green, times its share of 1/2, it is so only where the mosaic
    has another colour: where it has green, the value is half of the one seen and an eighth of each diagonal neighbour,
    so that its noise is weaker there (variance 5/16 instead of 1). Published figures were measured with it.
    """
    from scipy.ndimage import convolve1d

    rows: np.ndarray = convolve1d(seen, TAPS, 0, mode="mirror")
    result: np.ndarray = convolve1d(rows, TAPS, 1, mode="mirror")
    return result
