"""Calibration pictures: cuts of photographs of every kind, degraded as the task says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.signature import GraphForm
from elir_edge.artifacts.tensors import feeds_of
from elir_edge.errors import DataError, UsageError
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.degradations import DEGRADATIONS, find_degradation
from elir_edge.imaging.kinds import CLEAN, KINDS, LIGHT, STRONG, TASK, picture_of_kind
from elir_edge.imaging.photographs import TRAINING, load_photograph
from elir_edge.imaging.pictures import READ_SUFFIXES, pictures_in, read_picture
from elir_edge.imaging.thumbnails import thumbnail_of

DEFAULT_TASK = "restoration"
DEFAULT_COUNT = 20
LEAST_PICTURES, MOST_PICTURES = 4, 1000  # the quantizers keep activations of each
MOST_FILES = 2000
SMALLEST_CUT = 0.4
TRIALS = 20
BUILTIN = "built-in photographs"
MIXTURE = (TASK, STRONG, CLEAN, "dark", TASK, LIGHT, "saturated", STRONG, "bright", "flat")


@dataclass(frozen=True)
class CalibrationRequest:
    """Source of calibration pictures: a ``folder``; None: the photographs inside installed packages.

    ``task`` is a degradation (``elir-edge degrade``) of all pictures, ``none`` for clean ones; None: the mixture
    ``MIXTURE`` around the model's own. ``count`` is the number of cuts, ``seed`` decides all cuts and noise.
    """

    folder: Path | None = None
    task: str | None = None
    count: int = DEFAULT_COUNT
    seed: int = 0


@dataclass(frozen=True)
class Calibration:
    """``pictures``: degraded cuts, uint8 H x W x 3 of the graph's size. ``sources``: ``thumbnail_of`` each clean
    picture by name. ``facts``: source, count, task, kinds with their numbers, seed and sha256, for the manifest.
    """

    pictures: tuple[np.ndarray, ...]
    sources: dict[str, np.ndarray]
    facts: dict[str, Any]

    def feeds(self, form: GraphForm, spec: ModelSpec) -> tuple[dict[str, np.ndarray], ...]:
        """Inputs of a graph of ``form`` for each picture, by name; noise is drawn from the picture's number."""
        return tuple(feeds_of(form.inputs(spec), pixels, i) for i, pixels in enumerate(self.pictures))


def task_of(spec: ModelSpec) -> str:
    """The degradation that the model of ``spec`` removes: the one of its name, else ``restoration``."""
    return spec.name if spec.name in DEGRADATIONS else DEFAULT_TASK


def gather_calibration(request: CalibrationRequest, spec: ModelSpec, height: int, width: int) -> Calibration:
    """Cut, resize and degrade calibration pictures for graphs of ``height`` x ``width`` pixels.

    Every picture of the folder is read, so that a damaged one is told wherever it is; the first ``count`` are cut.

    Raises UsageError for a count below 4 or above 1000 or a seed below 0, ConfigError for an unknown task,
    MissingInputError for a missing folder, DataError for a folder with fewer than 4 or more than 2000 pictures, a
    damaged one, a link that leads nowhere, or a picture of one colour that would be cut, UnavailableError where the
    packages with the built-in photographs are not installed.
    """
    if not LEAST_PICTURES <= request.count <= MOST_PICTURES:
        raise UsageError(
            f"{request.count} calibration pictures are too {'few' if request.count < LEAST_PICTURES else 'many'}",
            hint=f"{LEAST_PICTURES} to {MOST_PICTURES}; {DEFAULT_COUNT} are usual",
        )
    if request.seed < 0:
        raise UsageError(f"{request.seed}: a seed is 0 or more", hint="0 is the usual one")
    degradation = find_degradation(request.task or task_of(spec))
    clean = _clean_pictures(request.folder, request.count)
    rng = np.random.default_rng(request.seed)
    names = list(clean)
    _refuse_constant({name: clean[name] for name in names[: request.count]})
    cuts = [_cut(clean[names[i % len(names)]], height, width, rng) for i in range(request.count)]
    kinds = _kinds(request, len(names))
    pictures = tuple(picture_of_kind(kind, cut, degradation, rng)[1] for kind, cut in zip(kinds, cuts, strict=True))
    sources = {name: thumbnail_of(pixels) for name, pixels in clean.items()}
    facts = {
        "source": request.folder.resolve().name if request.folder else BUILTIN,
        "pictures": len(pictures),
        "task": degradation.name,
        "kinds": {kind: kinds.count(kind) for kind in KINDS if kind in kinds},
        "seed": request.seed,
        "sha256": hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).hexdigest(),
    }
    return Calibration(pictures, sources, facts)


def _kinds(request: CalibrationRequest, sources: int) -> list[str]:
    """The kind of each cut. Cuts take turns among ``sources`` pictures; each turn begins at another kind."""
    if request.task is not None:
        return [TASK] * request.count
    return [MIXTURE[(i + i // sources) % len(MIXTURE)] for i in range(request.count)]


def _clean_pictures(folder: Path | None, count: int) -> dict[str, np.ndarray]:
    if folder is None:
        return {photograph.name: load_photograph(photograph) for photograph in TRAINING}
    paths = pictures_in(folder)
    if not LEAST_PICTURES <= len(paths) <= MOST_FILES:
        amount = "few" if len(paths) < LEAST_PICTURES else "many"
        raise DataError(
            f"{folder}: {len(paths)} pictures are too {amount} to calibrate on",
            hint=f"{LEAST_PICTURES} to {MOST_FILES} in one folder",
        )
    _refuse_dead_links(folder)
    clean = {}
    for number, path in enumerate(paths):
        pixels = read_picture(path)
        if number < count:
            clean[path.name] = pixels
    return clean


def _refuse_dead_links(folder: Path) -> None:
    dead = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in READ_SUFFIXES and not path.exists())
    if dead:
        raise DataError(f"{folder}: links that lead nowhere: {', '.join(dead)}", hint="remove or mend them")


def _cut(pixels: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A rectangle of ``_rectangle`` that is not of one colour, as the background beside an object is; else the last."""
    for _ in range(TRIALS):
        cut = _rectangle(pixels, height, width, rng)
        if not _is_constant(cut):
            break
    return cut


def _rectangle(pixels: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A random rectangle of the proportions ``height`` : ``width``, at least 0.4 of the largest one, resized."""
    from PIL import Image

    largest = min(pixels.shape[0] / height, pixels.shape[1] / width)
    scale = rng.uniform(min(max(SMALLEST_CUT * largest, min(largest, 1.0)), largest), largest)
    rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
    top = int(rng.integers(0, pixels.shape[0] - rows + 1))
    left = int(rng.integers(0, pixels.shape[1] - columns + 1))
    cut = Image.fromarray(np.ascontiguousarray(pixels[top : top + rows, left : left + columns]))
    return np.asarray(cut.resize((width, height), Image.Resampling.BICUBIC))


def _is_constant(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[0, 0]).all())


def _refuse_constant(pictures: Mapping[str, np.ndarray]) -> None:
    flat = sorted(name for name, pixels in pictures.items() if _is_constant(pixels))
    if flat:
        raise DataError(
            f"calibration pictures of one colour have no range to measure: {', '.join(flat)}", hint="remove them"
        )
