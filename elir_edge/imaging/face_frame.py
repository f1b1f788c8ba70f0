"""Where a face lies in a picture: its place in the FFHQ template of 512 x 512 pixels, there and back again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from elir_edge.errors import missing_package
from elir_edge.imaging.levels import to_levels

SIDE = 512
# Mean places, x and y, of the eyes, the tip of the nose and the corners of the mouth in FFHQ's aligned faces.
TEMPLATE = ((192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15))
CENTRE, RADIUS, SOLID = complex(256, 262), 248.0, 0.75  # of the mask, in the template
MARGIN = 4  # pixels that a cubic filter looks beyond an edge


class Window(NamedTuple):
    """A part of a picture: first and end of its rows and columns."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing a picture."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def points(self) -> np.ndarray:
        """x + iy of every pixel, complex64 rows x columns."""
        columns, rows = np.arange(self.left, self.right), np.arange(self.top, self.bottom)
        return (columns + 1j * rows[:, None]).astype(np.complex64)


@dataclass(frozen=True)
class FaceFrame:
    """The similarity that takes a point z = x + iy of the template to turn * z + shift in the picture."""

    turn: complex
    shift: complex

    @property
    def scale(self) -> float:
        """Pixels of the picture by pixel of the template."""
        return abs(self.turn)

    def aligned_face(self, pixels: np.ndarray) -> np.ndarray:
        """The face upright in the template: uint8 or uint16 H x W x C -> float32 512 x 512 x C, 0..255.

        Beyond the picture is its reflection.
        """
        corners = self.turn * np.array([0, SIDE, SIDE * 1j, SIDE * (1 + 1j)]) + self.shift
        reach = abs(corners - corners.mean()).max() + MARGIN * max(1.0, self.scale)
        window = _window(corners.mean(), reach, pixels.shape[:2])
        if window is None:  # a face that lies outside, as no detector gives it
            window = Window(0, pixels.shape[0], 0, pixels.shape[1])
        part = to_levels(pixels[window.slices])
        shift = self.shift - complex(window.left, window.top)
        return _warp(part, self.turn, shift, (SIDE, SIDE), "REFLECT_101").clip(0, 255)

    def placed_face(self, face: np.ndarray, window: Window) -> np.ndarray:
        """What is in the template, float32 512 x 512 x C, as it lies in ``window`` of the picture; 0 around it."""
        back = 1 / self.turn
        shift = (complex(window.left, window.top) - self.shift) * back
        size = (window.bottom - window.top, window.right - window.left)
        return _warp(face, back, shift, size, "CONSTANT")

    def window(self, size: tuple[int, int]) -> Window | None:
        """The part of a picture of ``size`` (height, width) that holds the mask; None where it lies outside."""
        return _window(self.turn * CENTRE + self.shift, self.scale * RADIUS, size)

    def reaches(self, window: Window) -> bool:
        """Whether the mask can lie in ``window``."""
        middle = self.turn * CENTRE + self.shift
        beside = max(window.left - middle.real, middle.real - window.right)
        return max(beside, window.top - middle.imag, middle.imag - window.bottom) <= self.scale * RADIUS

    def mask(self, window: Window) -> np.ndarray:
        """Weight of the face in ``window``, float32: 1 in the middle, fading to 0 at the mask's edge, 0 beyond."""
        distance = np.abs((window.points - self.shift) / self.turn - CENTRE) / RADIUS
        ramp = ((1 - distance) / (1 - SOLID)).clip(0, 1)
        return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def fit_frame(landmarks: Sequence[tuple[float, float]]) -> FaceFrame:
    """The similarity, without reflection, that brings the template nearest to ``landmarks`` by least squares.

    ``landmarks``: x and y of left eye, right eye, tip of the nose, left and right corner of the mouth, as the picture
    shows them.
    """
    template, found = (np.array([complex(*point) for point in points]) for points in (TEMPLATE, landmarks))
    system = np.stack([template, np.ones_like(template)], axis=1)
    turn, shift = np.linalg.lstsq(system, found)[0]
    return FaceFrame(complex(turn), complex(shift))


def _window(middle: complex, reach: float, size: tuple[int, int]) -> Window | None:
    height, width = size
    top, bottom = max(0, math.floor(middle.imag - reach)), min(height, math.ceil(middle.imag + reach) + 1)
    left, right = max(0, math.floor(middle.real - reach)), min(width, math.ceil(middle.real + reach) + 1)
    return Window(top, bottom, left, right) if top < bottom and left < right else None


def _warp(pixels: np.ndarray, turn: complex, shift: complex, size: tuple[int, int], border: str) -> np.ndarray:
    """float32 H x W x C -> ``size`` x C, cubic: the value at z is that of ``pixels`` at turn * z + shift.

    Averages over areas first where that makes the picture smaller.
    """
    cv2 = load_cv2()
    if abs(turn) > 1:
        height, width = (max(1, round(side / abs(turn))) for side in pixels.shape[:2])
        factor = (height / pixels.shape[0], width / pixels.shape[1])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    else:
        factor = (1.0, 1.0)
    rows = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    rows[:, 2] += 0.5  # areas have their corners, not their middles, at the same place whatever the size
    rows *= np.array([[factor[1]], [factor[0]]])
    rows[:, 2] -= 0.5
    warped = cv2.warpAffine(
        np.ascontiguousarray(pixels),
        rows,
        size[::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=getattr(cv2, f"BORDER_{border}"),
    )
    return np.asarray(warped, np.float32).reshape(*size, -1)


def load_cv2() -> Any:
    """OpenCV. Raises UnavailableError where it is missing."""
    try:
        import cv2
    except ImportError as error:
        raise missing_package("opencv-python", "faces") from error
    return cv2
