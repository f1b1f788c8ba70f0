"""Error of each stage of a quantized graph: with the errors of earlier stages, and on its own.

The own error of a stage is its error if the stage before is replaced by the float reference; it includes the rounding
of that input. The share of a stage is the part of the picture's squared error that disappears if the stage is replaced
by the float reference as well.
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
    """Signal-to-error ratio of one stage in dB, 10 log10(sum reference^2 / sum error^2); larger is better.

    ``free_db``: with all earlier stages as the artifact computes them. ``own_db``: with the stage before from the float
    model. ``share``: of the picture's squared error; the shares sum to 1, and one is negative where a stage happens to
    compensate an earlier error. ``own_db`` and ``share`` are None where the runtime cannot start at a stage.
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
    """The errors of all stages and of the picture in the order of execution.

    Args:
        path, backend: of the artifact.
        stages: from the manifest, at least one.
        parts: name of the part that computes each stage and the picture.
        expected: values of the float model: stages 1 x C x h x w, the picture in the artifact's layout with batch axis.
        run: computes the outputs of a session that starts at the image.
        progress: gets the stages of the work.
    """
    names = (*(stage.name for stage in stages), RESTORED)
    with progress.stage("stages of the artifact"), open_session(path, backend, stages=names[:-1]) as session:
        results = [run(session)]
        backend = session.backend
    try:
        results += _run_from_reference(path, backend, stages, expected, progress)
    except UnavailableError as error:
        progress.note(f"note: the own errors of stages cannot be measured here: {error}")
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
    """The stage with the largest share of the picture's error; None where the shares are not known."""
    known = [error for error in errors if error.share is not None]
    return max(known, key=lambda error: error.share or 0.0, default=None)


def snr_db(actual: np.ndarray, expected: np.ndarray) -> float:
    """10 log10(sum expected^2 / sum error^2) in dB, at most 200; -inf for unequal shapes, NaN or infinity."""
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


def _run_from_reference(
    path: Path, backend: str, stages: tuple[StageSpec, ...], expected: Mapping[str, np.ndarray], progress: Progress
) -> list[dict[str, np.ndarray]]:
    """For each stage: the next stage and the picture of the graph started at the float model's value of the stage."""
    found = []
    with progress.stage("stages from the float reference", len(stages)) as advance:
        for i, stage in enumerate(stages):
            following = tuple(later.name for later in stages[i + 1 : i + 2])
            with open_session(path, backend, stages=following, entry=stage.name) as session:
                feeds = {stage.name: _as_in_graph(expected[stage.name], stage), **noise_feeds(session, 0)}
                found.append(session.run(feeds))
            advance(1)
    return found


def _shares(squared: list[float]) -> list[float | None]:
    """From the picture's squared errors with the first 0, 1, 2 .. stages replaced by the float reference."""
    total = squared[0]
    if not 0 < total < math.inf:
        return [None for _ in squared]
    return [(error - left) / total for error, left in zip(squared, [*squared[1:], 0.0], strict=True)]


def _as_in_graph(latent: np.ndarray, stage: StageSpec) -> np.ndarray:
    values = latent.transpose(0, 2, 3, 1) if stage.layout == "NHWC" else latent
    return np.ascontiguousarray(values * stage.gain, dtype=np.float32)
