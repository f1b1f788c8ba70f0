"""Pictures that artifacts are validated on: photographs that no calibration uses, of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elir_edge.artifacts.artifact import Manifest
from elir_edge.errors import UsageError
from elir_edge.imaging.degradations import find_degradation
from elir_edge.imaging.kinds import CLEAN, TASK, TONES, label_of, picture_of_kind
from elir_edge.imaging.pictures import PHOTOGRAPHS, builtin_photograph, fit_picture, pictures_in, read_picture
from elir_edge.imaging.thumbnails import shows_the_same, thumbnail_of
from elir_edge.quantize.calibration import task_of
from elir_edge.validation.gates import EXACT

SEED = 1000


@dataclass(frozen=True)
class Trials:
    """``degraded`` and ``originals`` by the same names, uint8 H x W x 3 of the graph's size."""

    degraded: dict[str, np.ndarray]
    originals: dict[str, np.ndarray]


def gather_trials(
    task: str, height: int, width: int, pictures: Mapping[str, np.ndarray] | None = None, seed: int = SEED
) -> Trials:
    """Each of ``pictures`` in three kinds: degraded by ``task``, clean, and of one of four tones, which take turns.

    Names end with the kind (see ``kind_of``). ``pictures`` None: the photographs of the package. Raises ConfigError for
    an unknown task.
    """
    degradation = find_degradation(task)
    found = pictures if pictures is not None else {name: builtin_photograph(name) for name in PHOTOGRAPHS}
    rng = np.random.default_rng(seed)
    tones, degraded, originals = list(TONES), {}, {}
    for number, (name, pixels) in enumerate(found.items()):
        clean = fit_picture(pixels, height, width)
        for kind in (TASK, CLEAN, tones[number % len(tones)]):
            label = label_of(name, kind)
            originals[label], degraded[label] = picture_of_kind(kind, clean, degradation, rng)
    return Trials(degraded, originals)


def gather_pictures(source: Path | None, size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """The pictures at ``source``, a folder or a file, uint8 H x W x 3 by name, cut and scaled to ``size``.

    ``source`` None: the photographs that come with the package, at their own size. Raises what ``read_picture`` and
    ``pictures_in`` raise.
    """
    if source is None:
        return {name: builtin_photograph(name) for name in PHOTOGRAPHS}
    paths = pictures_in(source) if source.is_dir() else [source]
    return {path.name: fit_picture(read_picture(path), *size) if size else read_picture(path) for path in paths}


def gather_judges(
    manifest: Manifest, source: Path | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """The pictures that an artifact is validated on, and their originals; None where no loss is to be measured.

    fp32 artifacts are compared on the pictures at ``source`` themselves. Other precisions are compared on pictures
    of every kind around the task of their calibration, or else of their spec; originals count where the weights are
    trained.
    """
    if manifest.precision == EXACT:
        return gather_pictures(source, manifest.size), None
    calibration = (manifest.quantization or {}).get("calibration", {})
    task = calibration.get("task") or task_of(manifest.model_spec())
    trials = gather_trials(task, *manifest.size, gather_pictures(source, manifest.size))
    return trials.degraded, trials.originals if manifest.trained else None


def check_disjoint(sources: Mapping[str, np.ndarray]) -> None:
    """Raise UsageError where a calibration picture shows what one that validates the result shows.

    ``sources``: thumbnails by name. Copies in another format or of another size are the same picture.
    """
    judges = {name: thumbnail_of(builtin_photograph(name)) for name in PHOTOGRAPHS}
    for name, thumbnail in sources.items():
        for judge, other in judges.items():
            if shows_the_same(thumbnail, other):
                raise UsageError(
                    f"the calibration picture '{name}' is the photograph '{judge}', which validates the result",
                    hint="remove it from the calibration folder",
                )
