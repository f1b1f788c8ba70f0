"""What a quantized artifact is judged on: photographs that no calibration saw, degraded as the task says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from elir_edge.errors import UsageError
from elir_edge.imaging.degradations import find_degradation
from elir_edge.imaging.pictures import PHOTOGRAPHS, builtin_photograph, fit_picture
from elir_edge.quantize.calibration import digest_of

DRAWS = 2
SEED = 1000


@dataclass(frozen=True)
class Trials:
    """``degraded`` and ``originals`` under the same names: uint8 H x W x 3 of the graph's size."""

    degraded: dict[str, np.ndarray]
    originals: dict[str, np.ndarray]


def gather_trials(
    task: str, height: int, width: int, pictures: Mapping[str, np.ndarray] | None = None, seed: int = SEED
) -> Trials:
    """Each picture (None: the photographs that come with the package) degraded twice, with different chance.

    Raises ConfigError for an unknown task.
    """
    degradation = find_degradation(task)
    found = pictures if pictures is not None else {name: builtin_photograph(name) for name in PHOTOGRAPHS}
    rng = np.random.default_rng(seed)
    degraded, originals = {}, {}
    for name, pixels in found.items():
        for draw in range(1, DRAWS + 1):
            label = f"{name} {draw}"
            originals[label] = fit_picture(pixels, height, width)
            degraded[label] = degradation.apply(originals[label], rng)
    return Trials(degraded, originals)


def check_disjoint(sources: Mapping[str, str]) -> None:
    """Raise UsageError where a calibration picture (name: digest) is one of those that judge the result."""
    judges = {digest_of(builtin_photograph(name)): name for name in PHOTOGRAPHS}
    for name, digest in sources.items():
        if digest in judges:
            raise UsageError(
                f"the calibration picture '{name}' is the photograph '{judges[digest]}' that judges the result",
                hint="take it out of the calibration folder",
            )
