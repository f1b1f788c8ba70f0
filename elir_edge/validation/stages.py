"""Where a quantized graph loses what it loses: the error of each stage, inherited and its own.

A stage's own error is what it adds when the stage before is replaced by the float reference. It counts the rounding of
what the stage is fed, since that is how the graph reads it. What a stage costs the picture is the part of the picture's
squared error that goes away once the stage, too, is replaced by the float reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elir_edge.artifacts.signature import RESTORED, StageSpec
from elir_edge.core.progress import Progress
from elir_edge.errors import UnavailableError
from elir_edge.imaging.comparison import IDENTICAL_DB
from elir_edge.runtime.base import Session
from elir_edge.runtime.restore import noise_feeds
from elir_edge.runtime.session import open_session


@dataclass(frozen=True)
class StageError:
    """Signal to error of one stage in dB, 10 log10(sum reference^2 / sum error^2): larger is better.

    ``free_db`` with all that came before as the artifact computes it, ``own_db`` with the stage before as the float
    model has it. ``share`` of the picture's squared error is this stage's doing; over all stages it sums to 1, and is
    below 0 where a stage happens to mend another's error. Both are None where the runtime cannot start at a stage.
    """

    stage: str
    part: str
    free_db: float
    own_db: float | None = None
    share: float | None = None


def measure_stages(
    path: Path,
    backend: str | None,
    stages: tuple[StageSpec, ...],
    parts: Mapping[str, str],
    expected: Mapping[str, np.ndarray],
    run: Callable[[Session], dict[str, np.ndarray]],
    progress: Progress,
) -> tuple[StageError, ...]:
    """The errors of every stage and of the picture, in the order in which they run.

    Args:
        stages: as the manifest states them, at least one.
        parts: what computes each stage, and the picture, in words.
        expected: what the float model has for each as 1 x C x h x w, and the restored picture as the artifact gives
            it, batch and layout included.
        run: gives the outputs of a session that starts at the image.
    """
    names = (*(stage.name for stage in stages), RESTORED)
    with progress.stage("stages, free-running"), open_session(path, backend, stages=names[:-1]) as session:
        results = [run(session)]
        backend = session.backend
    try:
        results += _fed(path, backend, stages, expected, progress)
    except UnavailableError as error:
        progress.note(f"note: a stage's own error is not known here: {error}")
    by_name: dict[str, StageSpec | None] = {stage.name: stage for stage in stages} | {RESTORED: None}

    def db(result: Mapping[str, np.ndarray], name: str) -> float:
        return snr_db(latent_of(result[name], by_name[name]), expected[name])

    free = [StageError(name, parts[name], db(results[0], name)) for name in names]
    if len(results) == 1:
        return tuple(free)
    own = [db(result, name) for result, name in zip(results, names, strict=True)]
    shares = _shares([_squared_error(result[RESTORED], expected[RESTORED]) for result in results])
    return tuple(StageError(e.stage, e.part, e.free_db, *more) for e, *more in zip(free, own, shares, strict=True))


def weakest(errors: tuple[StageError, ...]) -> StageError | None:
    """The stage that costs the picture most; None where that is not known."""
    known = [error for error in errors if error.share is not None]
    return max(known, key=lambda error: error.share or 0.0, default=None)


def snr_db(actual: np.ndarray, expected: np.ndarray) -> float:
    """10 log10(sum expected^2 / sum error^2), at most 200; minus infinity for another shape, NaN or infinity."""
    error = _squared_error(actual, expected)
    signal = float(np.square(expected.astype(np.float64)).sum())
    if error == 0:
        return IDENTICAL_DB
    return min(IDENTICAL_DB, 10 * math.log10(signal / error)) if signal and error < math.inf else -math.inf


def latent_of(values: np.ndarray, stage: StageSpec | None) -> np.ndarray:
    """Output of a graph as the model has it: latents 1 x C x h x w without the gain; None: a picture, unchanged."""
    if stage is None:
        return values
    latent = values.transpose(0, 3, 1, 2) if stage.layout == "NHWC" else values
    return latent / stage.gain


def _squared_error(actual: np.ndarray, expected: np.ndarray) -> float:
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        return math.inf
    return float(np.square(actual.astype(np.float64) - expected.astype(np.float64)).sum())


def _fed(
    path: Path, backend: str, stages: tuple[StageSpec, ...], expected: Mapping[str, np.ndarray], progress: Progress
) -> list[dict[str, np.ndarray]]:
    """For each stage: the next one, and the picture, when the graph starts at this one as the float model has it."""
    found = []
    with progress.stage("stages, fed the float reference", len(stages)) as advance:
        for i, stage in enumerate(stages):
            following = tuple(later.name for later in stages[i + 1 : i + 2])
            with open_session(path, backend, stages=following, entry=stage.name) as session:
                feeds = {stage.name: _as_in_graph(expected[stage.name], stage), **noise_feeds(session, 0)}
                found.append(session.run(feeds))
            advance(1)
    return found


def _shares(squared: list[float]) -> list[float | None]:
    """From the picture's squared error with none, one, two ... of the first stages as the float model has them."""
    total = squared[0]
    if not 0 < total < math.inf:
        return [None for _ in squared]
    return [(error - left) / total for error, left in zip(squared, [*squared[1:], 0.0], strict=True)]


def _as_in_graph(latent: np.ndarray, stage: StageSpec) -> np.ndarray:
    values = latent.transpose(0, 2, 3, 1) if stage.layout == "NHWC" else latent
    return np.ascontiguousarray(values * stage.gain, dtype=np.float32)
