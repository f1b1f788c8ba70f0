"""Degradations: the tasks of the ELIR paper (arXiv 2502.03500) and the task of the default model.

Each maps uint8 H x W x 3 to uint8 H x W x 3 and takes all its randomness from the generator it is given. Standard
deviations of noise are on the 8-bit scale, those of blur in pixels. Resizing is Pillow's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from elir_edge.errors import ConfigError, DataError, did_you_mean
from elir_edge.imaging.blind import blind_x4
from elir_edge.imaging.camera import camera_noise
from elir_edge.imaging.pixels import add_noise, blur, jpeg, resize

NOISE_MAX, LITTLE_NOISE = 55.0, 15.0
CLEAN_SHARE, BLUR_SHARE, LITTLE_SHARE = 0.06, 0.08, 0.25
KINDS, KIND_CHANCES = ("gaussian", "camera", "none"), (0.78, 0.14, 0.08)
BLUR_MIN, BLUR_MAX = 0.3, 0.9
JPEG_SHARE, JPEG_MIN, JPEG_MAX = 0.12, 30, 95

FACE_BLUR_TAPS = 41
HIDDEN_SHARE = 0.9
SMALLEST_SIDE = 16


def restoration(image: np.ndarray, rng: Generator) -> np.ndarray:
    """The default model's task: what phones see, from hardly anything to strong noise.

    1. 6 % of the pictures stay as they are: a good photograph must come back unharmed;
    2. of the others, 8 % get a Gaussian blur, standard deviation U(0.3, 0.9) pixels;
    3. 78 % Gaussian noise, rounded and clipped to 8 bit: a quarter of them of a standard deviation U(0, 15), the others
       U(0, 55), the same for all pixels and channels; 14 % noise of a camera (see ``camera``); 8 % none;
    4. 12 %, and all that have no noise yet, go through JPEG (4:2:0) of quality U{30..95}.
    """
    if rng.uniform() < CLEAN_SHARE:
        return image
    if rng.uniform() < BLUR_SHARE:
        image = blur(image, rng.uniform(BLUR_MIN, BLUR_MAX))
    kind = str(rng.choice(KINDS, p=KIND_CHANCES))
    if kind == "gaussian":
        image = add_noise(image, rng.uniform(0.0, LITTLE_NOISE if rng.uniform() < LITTLE_SHARE else NOISE_MAX), rng)
    elif kind == "camera":
        image = camera_noise(image, rng)
    if kind == "none" or rng.uniform() < JPEG_SHARE:
        image = jpeg(image, int(rng.integers(JPEG_MIN, JPEG_MAX + 1)))
    return image


def bfr(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Blind face restoration: blur, shrinking, noise, JPEG, and resizing back.

    Blur has 41 taps and standard deviation U(0.1, 15), the shrinking divisor is U(1/1.2, 32), noise U(0, 20), JPEG
    quality U{30..100}. Both resizes are bilinear.
    """
    height, width = image.shape[:2]
    image = blur(image, rng.uniform(0.1, 15.0), taps=FACE_BLUR_TAPS)
    divisor = rng.uniform(1.0 / 1.2, 32.0)
    image = resize(image, max(1, round(height / divisor)), max(1, round(width / divisor)), "bilinear")
    image = add_noise(image, rng.uniform(0.0, 20.0), rng)
    return resize(jpeg(image, int(rng.integers(30, 101))), height, width, "bilinear")


def sr(image: np.ndarray, rng: Generator) -> np.ndarray:
    """8x super-resolution: bicubic to an eighth, noise of 12.8, each pixel repeated 8 x 8 (nearest-exact)."""
    height, width = image.shape[:2]
    small = resize(image, max(1, height // 8), max(1, width // 8), "bicubic")
    return resize(add_noise(small, 12.8, rng), height, width, "nearest")


def denoising(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Gaussian noise of standard deviation 89.6 (0.35 of full scale), rounded and clipped to 8 bits."""
    return add_noise(image, 89.6, rng)


def inpainting(image: np.ndarray, rng: Generator) -> np.ndarray:
    """90 % of the pixels, drawn without replacement, become 0 in all channels; then noise of 25.6."""
    pixels = image.shape[0] * image.shape[1]
    hidden = rng.permutation(pixels)[: round(HIDDEN_SHARE * pixels)]
    masked = image.reshape(pixels, 3).copy()
    masked[hidden] = 0
    return add_noise(masked.reshape(image.shape), 25.6, rng)


def none(image: np.ndarray, rng: Generator) -> np.ndarray:
    """The picture as it is, for models that restore nothing."""
    return image


def bsr(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Blind 4x super-resolution: Real-ESRGAN's pipeline to a quarter (see ``blind``), then bicubic back."""
    small = blind_x4(image, rng)
    return resize(small, image.shape[0], image.shape[1], "bicubic")


@dataclass(frozen=True)
class Degradation:
    """A task: ``name``, a description in one ``line``, the function ``apply(image, generator)``.

    ``size`` is the side in pixels of the square that it works on; None: pictures keep their size.
    """

    name: str
    line: str
    apply: Callable[[np.ndarray, Generator], np.ndarray]
    size: int | None = None


DEGRADATIONS = {
    degradation.name: degradation
    for degradation in (
        Degradation(
            "restoration",
            "noise up to 55/255 or a camera's, mild blur, JPEG, or nothing: the default model",
            restoration,
        ),
        Degradation("bfr", "blind face restoration: blur, shrinking, noise, JPEG", bfr, 512),
        Degradation("sr", "8x super-resolution of faces", sr, 256),
        Degradation("denoising", "Gaussian noise of 0.35 of full scale", denoising, 256),
        Degradation("inpainting", "90% of the pixels gone, and noise", inpainting, 256),
        Degradation("none", "nothing: clean pictures", none),
        Degradation("bsr", "blind 4x super-resolution, Real-ESRGAN's pipeline", bsr),
    )
}


def find_degradation(task: str) -> Degradation:
    """The degradation called ``task``. Raises ConfigError where there is none."""
    if task not in DEGRADATIONS:
        raise ConfigError(f"there is no task '{task}'", hint=did_you_mean(task, DEGRADATIONS))
    return DEGRADATIONS[task]


def degrade(image: np.ndarray, task: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(clean at the task's size, degraded), both uint8 H x W x 3. The arguments decide every byte.

    Raises ConfigError for an unknown task, DataError for an array that is not uint8 H x W x 3 or below 16 x 16 pixels.
    """
    degradation = find_degradation(task)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(
            f"expected uint8 H x W x 3, got {image.dtype} {image.shape}",
            hint="convert it, for instance with elir_edge.read_picture",
        )
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise DataError(
            f"{image.shape[1]} x {image.shape[0]} pixels are too small to degrade",
            hint=f"take a picture of at least {SMALLEST_SIDE} pixels a side",
        )
    clean = image if degradation.size is None else square(image, degradation.size)
    return clean, degradation.apply(clean, np.random.default_rng(seed))


def square(image: np.ndarray, size: int) -> np.ndarray:
    """The largest centred square of ``image``, resized to ``size`` x ``size`` pixels (bicubic)."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return resize(image[top : top + side, left : left + side], size, size, "bicubic")
