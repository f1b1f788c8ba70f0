"""The pictures that a model is judged by, read and cut before any work: an unfit one costs itself alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elir_edge.errors import DataError, ElirEdgeError, ResourceError
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.degradations import square
from elir_edge.imaging.pictures import pictures_in, read_picture
from elir_edge.training.evaluate import centre, evaluation_photographs, refuse_small

SHOWN = 3


@dataclass(frozen=True)
class Originals:
    """``pictures``, uint8 H x W x 3, and why the others of the folder are ``unfit``; both by name."""

    pictures: dict[str, np.ndarray]
    unfit: dict[str, str]


def find_originals(folder: Path | None, spec: ModelSpec, size: int | None, side: int | None) -> Originals:
    """The pictures of ``folder`` (None: the held-out photographs) as the model takes them.

    Each is resized to a square of ``size`` pixels where that is given, then cut to the sides that the model takes, at
    most ``side`` pixels. Raises what ``pictures_in`` raises, ResourceError, and DataError where no picture is left.
    """
    if folder is None:
        return Originals({name: fit(image, spec, size, side) for name, image in evaluation_photographs().items()}, {})
    pictures, unfit = {}, {}
    for path in pictures_in(folder):
        try:
            pictures[path.name] = fit(read_picture(path), spec, size, side)
        except ResourceError:
            raise
        except ElirEdgeError as error:
            unfit[path.name] = str(error).removeprefix(f"{path}: ")
    if not pictures:
        told = "; ".join(f"{name}: {why}" for name, why in list(unfit.items())[:SHOWN])
        more = f", and {len(unfit) - SHOWN} more" if len(unfit) > SHOWN else ""
        raise DataError(f"{folder}: no picture can be judged ({told}{more})", hint="take other or larger pictures")
    return Originals(pictures, unfit)


def fit(image: np.ndarray, spec: ModelSpec, size: int | None, side: int | None) -> np.ndarray:
    """``image``, uint8 H x W x 3, as ``find_originals`` gives it. Raises DataError or ConfigError where it is unfit."""
    fitted = centre(image if size is None else square(image, size), spec.size_multiple, side)
    spec.check_size(*fitted.shape[:2])
    refuse_small(fitted)
    return fitted
