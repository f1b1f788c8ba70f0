"""Sessions for split artifacts: the encoder's graph once, the step's as often as asked for, the decoder's once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from elir_edge.artifacts.artifact import MAX_MANIFEST_BYTES, Manifest
from elir_edge.artifacts.signature import StageSpec, TensorSpec
from elir_edge.artifacts.split import (
    DT,
    ENCODER,
    LATENT,
    MANIFEST_FILE,
    PARTS,
    PLACE,
    SHIFTS,
    load_shifts,
    place_of,
    runtime_suffix,
    times_of,
)
from elir_edge.errors import DataError, UsageError
from elir_edge.formats.embedded import embedded_manifest
from elir_edge.runtime.base import AGAIN, Session

STATE = "state_"
OpenPart = Callable[[Path, tuple[str, ...]], Session]
OpenParts = Callable[[tuple[str, ...]], tuple[Session, ...]]


@dataclass(frozen=True)
class Parts:
    """The ``graphs`` of a split artifact: encoder, step, decoder.

    ``time(k, steps)`` is what the step takes besides z, for step k of ``steps``.
    """

    graphs: tuple[Session, ...]
    time: Callable[[int, int], dict[str, np.ndarray]]


class SplitSession(Session):
    """Runs a split artifact; ``steps`` is the number of Euler steps, from 1 to ``most_steps``.

    ``open_parts(early)`` opens the graphs; the encoder's then has the stages ``early`` as further outputs.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        open_parts: Callable[[tuple[str, ...]], Parts],
        stages: tuple[str, ...],
        steps: int | None,
    ) -> None:
        self.most_steps = int(manifest.spec["steps"])
        self.steps = _check_steps(steps, self.most_steps)
        before = [stage.name for stage in manifest.stages if not _step_of(stage.name)]
        if not before:
            raise DataError(f"{path}: its manifest names no stage before the steps", hint=AGAIN)
        self._first = before[-1]
        wanted = [_stage(path, manifest.stages, name, self.steps) for name in stages]
        self._parts = open_parts(tuple(stage.name for stage in wanted if stage.name in before[:-1]))
        self.backend, self.device = self._parts.graphs[0].backend, self._parts.graphs[0].device
        super().__init__(list(manifest.inputs), [*map(_as_output, wanted), *manifest.outputs])

    def placement(self) -> dict[str, int]:
        """Number of ops by device of the three graphs together."""
        counts: Counter[str] = Counter()
        for part in self._parts.graphs:
            counts.update(part.placement())
        return dict(counts)

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        encoder, step, decoder = self._parts.graphs
        found = encoder.run(feeds)
        z = found[self._first]
        for k in range(self.steps):
            (z,) = step.run({LATENT: z, **self._parts.time(k, self.steps)}).values()
            found[f"{STATE}{k + 1}"] = z
        found |= decoder.run({LATENT: z})
        return {tensor.name: found[tensor.name] for tensor in self.outputs}

    def _close(self) -> None:
        for part in self._parts.graphs:
            part.close()


def open_folder(path: Path, open_part: OpenPart, stages: tuple[str, ...], steps: int | None) -> Session:
    """A session for the folder of a split artifact; ``open_part(file, names)`` opens a graph of it."""
    manifest, suffix = read_split_manifest(path), runtime_suffix(path)

    def open_parts(early: tuple[str, ...]) -> Parts:
        rows = {time: row for row, time in enumerate(times_of(int(manifest.spec["steps"])))}
        with ExitStack() as stack:
            graphs = tuple(
                stack.enter_context(open_part(path / f"{name}{suffix}", early if name == ENCODER else ()))
                for name in PARTS
            )
            table = load_shifts(path, len(rows), _width(path, graphs[1]))
            stack.pop_all()

        def time(k: int, steps: int) -> dict[str, np.ndarray]:
            row = rows[Fraction(k, steps)]
            return {SHIFTS: table[row : row + 1], DT: np.full((1, 1, 1, 1), 1 / steps, np.float32)}

        return Parts(graphs, time)

    return SplitSession(path, manifest, open_parts, stages, steps)


def open_file(path: Path, open_signatures: OpenParts, stages: tuple[str, ...], steps: int | None) -> Session:
    """A session for a split artifact in one file; ``open_signatures(names)`` opens its graphs."""

    def time(k: int, steps: int) -> dict[str, np.ndarray]:
        return {PLACE: np.array([place_of(k, steps)], np.int32)}

    text = embedded_manifest(path)
    if text is None:
        raise DataError(f"{path}: holds no elir-edge manifest", hint=AGAIN)
    manifest = Manifest.from_json(text, f"{path} (manifest inside)")
    return SplitSession(path, manifest, lambda early: Parts(open_signatures(early), time), stages, steps)


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
