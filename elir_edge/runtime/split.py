"""Sessions for split artifacts: the encoder's graph once, the step's as often as asked for, the decoder's once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from elir_edge.artifacts.artifact import MAX_MANIFEST_BYTES, Manifest
from elir_edge.artifacts.signature import StageSpec, TensorSpec
from elir_edge.artifacts.split import (
    DECODER,
    DT,
    ENCODER,
    LATENT,
    MANIFEST_FILE,
    NEXT,
    SHIFTS,
    STEP,
    load_shifts,
    runtime_suffix,
    times_of,
)
from elir_edge.errors import DataError, UsageError
from elir_edge.runtime.base import AGAIN, Session

STATE = "state_"
OpenPart = Callable[[Path, tuple[str, ...]], Session]


class SplitSession(Session):
    """Runs a split artifact; ``steps`` is the number of Euler steps, from 1 to ``most_steps``."""

    def __init__(self, path: Path, open_part: OpenPart, stages: tuple[str, ...], steps: int | None) -> None:
        manifest = read_split_manifest(path)
        self.most_steps = int(manifest.spec["steps"])
        self.steps = _check_steps(steps, self.most_steps)
        self._rows = {time: row for row, time in enumerate(times_of(self.most_steps))}
        before = [stage.name for stage in manifest.stages if not _step_of(stage.name)]
        if not before:
            raise DataError(f"{path}: its manifest names no stage before the steps", hint=AGAIN)
        self._first = before[-1]
        wanted = [_stage(path, manifest.stages, name, self.steps) for name in stages]
        early = tuple(stage.name for stage in wanted if stage.name in before[:-1])
        suffix = runtime_suffix(path)
        with ExitStack() as stack:
            self._encoder = stack.enter_context(open_part(path / f"{ENCODER}{suffix}", early))
            self._step = stack.enter_context(open_part(path / f"{STEP}{suffix}", ()))
            self._decoder = stack.enter_context(open_part(path / f"{DECODER}{suffix}", ()))
            self._shifts = load_shifts(path, len(self._rows), _width(path, self._step))
            self._opened = stack.pop_all()
        self.backend, self.device = self._step.backend, self._step.device
        super().__init__(list(manifest.inputs), [*map(_as_output, wanted), *manifest.outputs])

    def placement(self) -> dict[str, int]:
        """Number of ops by device of the three graphs together."""
        counts: Counter[str] = Counter()
        for part in (self._encoder, self._step, self._decoder):
            counts.update(part.placement())
        return dict(counts)

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self._encoder.run(feeds)
        z = found[self._first]
        for k in range(self.steps):
            row = self._rows[Fraction(k, self.steps)]
            dt = np.full((1, 1, 1, 1), 1 / self.steps, np.float32)
            z = self._step.run({LATENT: z, SHIFTS: self._shifts[row : row + 1], DT: dt})[NEXT]
            found[f"{STATE}{k + 1}"] = z
        found |= self._decoder.run({LATENT: z})
        return {tensor.name: found[tensor.name] for tensor in self.outputs}

    def _close(self) -> None:
        self._opened.close()


def read_split_manifest(path: Path) -> Manifest:
    """The manifest inside the folder of a split artifact. Raises DataError where there is none, or it is damaged."""
    place = path / MANIFEST_FILE
    if not place.is_file() or place.stat().st_size > MAX_MANIFEST_BYTES:
        raise DataError(
            f"{path}: has no {MANIFEST_FILE}, so it is no split artifact", hint="copy the whole folder again"
        )
    return Manifest.from_json(place.read_text(encoding="utf-8", errors="replace"), str(place))


def _check_steps(steps: int | None, most: int) -> int:
    if most < 1:
        raise DataError(f"the manifest of the split artifact states {most} steps", hint=AGAIN)
    if steps is not None and not 1 <= steps <= most:
        raise UsageError(
            f"steps is {steps}, the artifact has the times of 1 to {most}",
            hint=f"take a number from 1 to {most}, or export a model of more steps",
        )
    return most if steps is None else steps


def _step_of(stage: str) -> int:
    """k for the value after step k, ``state_k``; 0 for stages before the steps."""
    number = stage.removeprefix(STATE)
    return int(number) if stage.startswith(STATE) and number.isdecimal() else 0


def _stage(path: Path, known: tuple[StageSpec, ...], name: str, steps: int) -> StageSpec:
    for stage in known:
        if stage.name == name and _step_of(name) <= steps:
            return stage
    raise DataError(
        f"{path}: the graph has no tensor called {name} at {steps} steps",
        hint=f"it has {', '.join(stage.name for stage in known if _step_of(stage.name) <= steps)}",
    )


def _width(path: Path, step: Session) -> int:
    for tensor in step.inputs:
        if tensor.name == SHIFTS:
            return tensor.shape[-1]
    raise DataError(f"{path}: its step has no input '{SHIFTS}'", hint=AGAIN)


def _as_output(stage: StageSpec) -> TensorSpec:
    return TensorSpec(stage.name, stage.shape, "float32", stage.layout, "stage")
