"""Photographs inside installed Python packages: those for training, and those for evaluation only.

The two lists share no scene. Nothing is downloaded: each file is part of its package's wheel.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import util
from pathlib import Path

import numpy as np

from elir_edge.errors import MissingInputError, missing_package


@dataclass(frozen=True)
class Photograph:
    """A picture file: its ``path`` inside ``package``, and the licence that the package states."""

    name: str
    package: str
    path: str
    licence: str


def _skimage(file: str, licence: str) -> Photograph:
    return Photograph(Path(file).stem, "skimage", f"data/{file}", licence)


TRAINING: tuple[Photograph, ...] = (
    Photograph("china", "sklearn", "datasets/images/china.jpg", "CC BY 2.0, danielbuechele"),
    Photograph(
        "grace_hopper",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "public domain, US Navy portrait; the package states none",
    ),
    _skimage("retina.jpg", "CC0, Häggström 2014"),
    _skimage("ihc.png", "no known copyright restrictions"),
    _skimage("hubble_deep_field.jpg", "public domain, NASA"),
    _skimage("camera.png", "CC0"),
    _skimage("brick.png", "CC0"),
    _skimage("grass.png", "CC0"),
    _skimage("gravel.png", "CC0"),
    _skimage("coins.png", "no known copyright restrictions"),
)

EVALUATION: tuple[Photograph, ...] = (
    _skimage("astronaut.png", "public domain, NASA"),
    _skimage("chelsea.png", "CC0"),
    _skimage("coffee.png", "CC0"),
    _skimage("rocket.jpg", "public domain, SpaceX"),
    _skimage("motorcycle_left.png", "Middlebury stereo benchmark 2014, Scharstein et al., as shipped by scikit-image"),
    Photograph("flower", "sklearn", "datasets/images/flower.jpg", "CC BY 2.0, vultilion"),
)


def load_photograph(photograph: Photograph) -> np.ndarray:
    """The picture, uint8 H x W x 3, sRGB as stored; grey pictures get three equal channels.

    Raises UnavailableError where the package is not installed, MissingInputError where the file is not in it.
    """
    from PIL import Image

    found = util.find_spec(photograph.package)
    if found is None or found.origin is None:
        raise missing_package(photograph.package, "quantize")
    path = Path(found.origin).parent / photograph.path
    if not path.is_file():
        raise MissingInputError(
            f"{path}: {photograph.package} no longer ships this picture",
            hint="install the version that the constraints name, or give photographs of your own with --calibrate",
        )
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
