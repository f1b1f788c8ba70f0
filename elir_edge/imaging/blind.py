"""Blind x4 degradation: two rounds of blur, resizing, noise and JPEG, then ringing.

Implements section 3 of Wang, Xie, Dong and Shan, "Real-ESRGAN: training real-world blind super-resolution with pure
synthetic data" (ICCVW 2021), with the ranges given there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from elir_edge.imaging.pixels import Filter, jpeg, resize, to_uint8

SCALE = 4
RESIZE_FILTERS: tuple[Filter, ...] = ("box", "bilinear", "bicubic")
KERNEL_SIDES = tuple(range(7, 22, 2))
KERNELS = ("gaussian", "generalised", "plateau")
KERNEL_CHANCES = (0.70, 0.15, 0.15)
ISOTROPIC_SHARE = {"gaussian": 0.45 / 0.70, "generalised": 0.8, "plateau": 0.8}
SHAPE_RANGES = {"gaussian": (1.0, 1.0), "generalised": (0.5, 4.0), "plateau": (1.0, 2.0)}
JPEG_RANGE = (30, 95)
FINAL_SINC_SHARE = 0.8


@dataclass(frozen=True)
class Round:
    """Parameters of one round.

    Shares are probabilities: of any blur, of a sinc kernel among blurs, of enlarging, of shrinking, of grey noise.
    Ranges are of the blur's standard deviation in pixels, the resize factor, the Gaussian noise's standard deviation on
    the 8-bit scale, and the Poisson noise's scale.
    """

    blur_share: float
    sinc_share: float
    sigma: tuple[float, float]
    up_share: float
    down_share: float
    resize: tuple[float, float]
    gaussian: tuple[float, float]
    poisson: tuple[float, float]
    grey_share: float = 0.4


FIRST = Round(1.0, 0.1, (0.2, 3.0), 0.2, 0.7, (0.15, 1.5), (1.0, 30.0), (0.05, 3.0))
SECOND = Round(0.8, 0.1, (0.2, 1.5), 0.3, 0.4, (0.3, 1.2), (1.0, 25.0), (0.05, 2.5))


def blind_x4(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Degrade ``image``, uint8 H x W x 3 -> uint8 H/4 x W/4 x 3; sides are rounded down and at least 1."""
    height, width = image.shape[:2]
    target = max(1, height // SCALE), max(1, width // SCALE)
    image = _blur(image, FIRST, rng)
    image = _resize_by(image, (height, width), _factor(FIRST, rng), rng)
    image = jpeg(_noise(image, FIRST, rng), _quality(rng))
    image = _blur(image, SECOND, rng)
    image = _resize_by(image, target, _factor(SECOND, rng), rng)
    image = _noise(image, SECOND, rng)
    if rng.uniform() < 0.5:
        return jpeg(_final_ringing(_final_resize(image, target, rng), rng), _quality(rng))
    return _final_ringing(_final_resize(jpeg(image, _quality(rng)), target, rng), rng)


def blur_kernel(side: int, sigma_x: float, sigma_y: float, angle: float, kind: str, shape: float) -> np.ndarray:
    """A blur kernel, side x side, of sum 1, rotated by ``angle`` radians; ``sigma_x`` and ``sigma_y`` in pixels.

    With d the squared Mahalanobis distance: gaussian exp(-d/2), generalised exp(-d^shape / 2), plateau 1/(1 + d^shape).
    """
    y, x = _offsets(side)
    u = (np.cos(angle) * x + np.sin(angle) * y) / sigma_x
    v = (np.cos(angle) * y - np.sin(angle) * x) / sigma_y
    distance = (u * u + v * v) ** shape
    kernel = 1.0 / (1.0 + distance) if kind == "plateau" else np.exp(-0.5 * distance)
    return kernel / kernel.sum()


def sinc_kernel(side: int, cutoff: float) -> np.ndarray:
    """The circular low-pass kernel c J1(c r) / (2 pi r), side x side, of sum 1; c is ``cutoff`` in rad/pixel."""
    from scipy.special import j1

    y, x = _offsets(side)
    radius = np.hypot(y, x)
    radius[side // 2, side // 2] = 1.0
    kernel = cutoff * j1(cutoff * radius) / (2.0 * np.pi * radius)
    kernel[side // 2, side // 2] = cutoff**2 / (4.0 * np.pi)
    return kernel / kernel.sum()


def filter_image(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve each channel of a uint8 picture with ``kernel``; borders are mirrored. Rounded and clipped to 8 bits."""
    from scipy.ndimage import convolve

    values = image.astype(np.float32)
    weights = kernel.astype(np.float32)
    return to_uint8(np.stack([convolve(values[:, :, c], weights, mode="mirror") for c in range(3)], 2))


def _blur(image: np.ndarray, round_: Round, rng: Generator) -> np.ndarray:
    if rng.uniform() >= round_.blur_share:
        return image
    side = int(rng.choice(KERNEL_SIDES))
    if rng.uniform() < round_.sinc_share:
        lowest = np.pi / 3 if side < 13 else np.pi / 5
        return filter_image(image, sinc_kernel(side, rng.uniform(lowest, np.pi)))
    kind = str(rng.choice(KERNELS, p=KERNEL_CHANCES))
    sigma_x = rng.uniform(*round_.sigma)
    isotropic = rng.uniform() < ISOTROPIC_SHARE[kind]
    sigma_y = sigma_x if isotropic else rng.uniform(*round_.sigma)
    angle = 0.0 if isotropic else rng.uniform(-np.pi, np.pi)
    return filter_image(image, blur_kernel(side, sigma_x, sigma_y, angle, kind, rng.uniform(*SHAPE_RANGES[kind])))


def _factor(round_: Round, rng: Generator) -> float:
    draw = rng.uniform()
    if draw < round_.up_share:
        return float(rng.uniform(1.0, round_.resize[1]))
    if draw < round_.up_share + round_.down_share:
        return float(rng.uniform(round_.resize[0], 1.0))
    return 1.0


def _resize_by(image: np.ndarray, base: tuple[int, int], factor: float, rng: Generator) -> np.ndarray:
    height, width = (max(1, round(side * factor)) for side in base)
    return resize(image, height, width, RESIZE_FILTERS[rng.integers(len(RESIZE_FILTERS))])


def _final_resize(image: np.ndarray, target: tuple[int, int], rng: Generator) -> np.ndarray:
    return resize(image, *target, RESIZE_FILTERS[rng.integers(len(RESIZE_FILTERS))])


def _final_ringing(image: np.ndarray, rng: Generator) -> np.ndarray:
    if rng.uniform() >= FINAL_SINC_SHARE:
        return image
    return filter_image(image, sinc_kernel(int(rng.choice(KERNEL_SIDES)), rng.uniform(np.pi / 3, np.pi)))


def _noise(image: np.ndarray, round_: Round, rng: Generator) -> np.ndarray:
    """Add Gaussian or Poisson noise, each with probability 1/2; grey noise is equal in all channels."""
    values = image.astype(np.float64)
    grey = rng.uniform() < round_.grey_share
    if rng.uniform() < 0.5:
        shape = (*image.shape[:2], 1 if grey else 3)
        return to_uint8(values + rng.normal(0.0, rng.uniform(*round_.gaussian), shape))
    signal = values.mean(2, keepdims=True) if grey else values
    shot = rng.poisson(signal) - signal
    return to_uint8(values + rng.uniform(*round_.poisson) * shot)


def _quality(rng: Generator) -> int:
    return int(rng.integers(JPEG_RANGE[0], JPEG_RANGE[1] + 1))


def _offsets(side: int) -> tuple[np.ndarray, np.ndarray]:
    line = np.arange(side, dtype=np.float64) - side // 2
    return line[:, None], line[None, :]
