"""One picture on its way: opened, cut into tiles, joined, written. What ``elir_edge.runtime.batch`` runs many of."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.core.commit import recover
from elir_edge.core.files import sha256_of, source_errors
from elir_edge.core.journal import Journal
from elir_edge.core.memory import forget_frames
from elir_edge.core.publish import publish, refuse_existing, staging
from elir_edge.errors import DataError, MissingInputError, OutputError
from elir_edge.imaging.file_formats import format_of_target
from elir_edge.imaging.levels import as_channels, from_levels, over_white
from elir_edge.imaging.limits import beyond_memory, refuse_beyond_memory
from elir_edge.imaging.opening import Opened, open_picture
from elir_edge.imaging.saving import Layout, layout_for, save_picture
from elir_edge.imaging.tiling import Grid, Mosaic, ReadRows, Tile, cut
from elir_edge.runtime.settings import Settings

FEW_ROWS = 16


@dataclass(frozen=True)
class Restored:
    """What became of one picture.

    Args:
        source: the path that was given, or its place in the sequence for an array. target: the file that holds the
            result; None where there is none.
        pixels: the result, H x W x channels, where no file was asked for.
        lost: sentences on what the result does not keep. error: why there is no result. exit_code: of the error.
        failure: the error itself.
        skipped: whether the file was there already, made from the same picture by the same artifact and settings.
        seconds: from opening to writing. faces: how many were restored; None where none were looked for.
    """

    source: str
    target: Path | None = None
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)
    lost: tuple[str, ...] = ()
    error: str | None = None
    hint: str | None = None
    exit_code: int = 0
    failure: Exception | None = field(default=None, repr=False, compare=False)
    skipped: bool = False
    seconds: float = 0.0
    faces: int | None = None


@dataclass(frozen=True)
class Surroundings:
    """What all pictures of a run share: the graph's size, the artifact's key, the journal of the output folder."""

    settings: Settings
    tile: tuple[int, int]
    eight_bits: bool
    artifact: str
    journal: Journal | None


class Work:
    """One picture. ``tiles()``, then ``add`` for the result of each, then ``finish()``; ``close()`` in any case."""

    def __init__(self, source: Path | np.ndarray, target: Path | None, around: Surroundings, place: int) -> None:
        self.source, self.target, self._around = source, target, around
        self.name = f"[{place}]" if isinstance(source, np.ndarray) else str(source)
        self.error: Exception | None = None
        self.tile_count = 1
        self.shown_count = 0
        self.further_count = 0
        self._opened: Opened | None = None
        self._layout = Layout(np.uint8, 3, ())
        self._key = ""
        self._skipped = False
        self._filled = 0
        self._shape = (0, 0, 0)
        self._began = time.perf_counter()

    def tiles(self) -> Iterator[Tile]:
        """Open the picture and cut it; nothing where it is done already. Raises what ``open_picture`` does."""
        self._began = time.perf_counter()
        if self.target is not None and self._is_done(self.target):
            self._skipped = True
            return
        height, width, read = self._open()
        grid = Grid(height, width, self._around.tile, self._around.settings.overlap)
        self.tile_count = grid.count + self.further_count
        self._mosaic = Mosaic(grid)
        self._shape = (height, width, self._layout.channels)
        refuse_beyond_memory(self.name, self._shape, self._layout.dtype)
        self._pixels: np.ndarray = np.empty(self._shape, self._layout.dtype)
        yield from cut(grid, read)

    def add(self, tile: Tile, part: np.ndarray) -> None:
        """The restored ``tile``, float32 0..255."""
        rows = self._mosaic.add(part)
        if rows is not None:
            for top in range(0, len(rows), FEW_ROWS):
                self._put(rows[top : top + FEW_ROWS])

    def _put(self, rows: np.ndarray) -> None:
        """Finished rows into the result. Few at a time: the steps of rounding cost several times their size."""
        wanted = self._layout.channels
        if rows.shape[2] > wanted:
            rows = over_white(rows)
        elif rows.shape[2] < wanted:  # grey for a format without grey
            rows = np.concatenate([np.repeat(rows[..., :1], 3, axis=2), rows[..., 1:]], axis=2)
        self._pixels[self._filled : self._filled + len(rows)] = from_levels(rows, self._layout.dtype)
        self._filled += len(rows)

    def finish(self) -> Restored:
        """Write the result, and close the picture."""
        try:
            lost = self._layout.lost
            if self.target is not None and not self._skipped:
                lost += self._write(self.target)
            return self._report(
                target=self.target,
                pixels=self._pixels if self.target is None else None,
                lost=lost,
                skipped=self._skipped,
            )
        finally:
            self.close()

    def fail(self, error: Exception) -> Restored:
        """Give up, and close the picture. Where memory ran out, the error names the picture and what it needs."""
        self.close()
        if isinstance(error, MemoryError):
            error = beyond_memory(self.name, self._shape, self._layout.dtype)
        forget_frames(error)
        code = getattr(error, "exit_code", DataError.exit_code)
        return self._report(error=str(error), hint=getattr(error, "hint", None), exit_code=code, failure=error)

    def close(self) -> None:
        """Close the file and give the memory back."""
        if self._opened is not None:
            self._opened.close()

    def _report(self, **more: Any) -> Restored:
        return Restored(self.name, seconds=time.perf_counter() - self._began, **more)

    def _open(self) -> tuple[int, int, ReadRows]:
        """Height, width and rows of the source; decides the layout of the result."""
        if isinstance(self.source, np.ndarray):
            pixels = as_channels(self.source)
            self._layout = Layout(pixels.dtype.type, pixels.shape[2], self._rounding_notes(pixels.dtype == np.uint16))
            return *pixels.shape[:2], lambda top, count: pixels[top : top + count]
        opened = self._opened = open_picture(self.source, self._around.settings.profile)
        layout = Layout(opened.dtype, opened.channels, ())
        if self.target is not None:
            layout = layout_for(opened, format_of_target(self.target))
        deep = layout.dtype == np.uint16
        self._layout = Layout(layout.dtype, layout.channels, (*opened.notes, *layout.lost, *self._rounding_notes(deep)))
        return opened.height, opened.width, opened.read

    def _rounding_notes(self, deep: bool) -> tuple[str, ...]:
        if deep and self._around.eight_bits:
            return ("colours have 256 levels: the artifact takes and gives bytes (a float one keeps 16 bits)",)
        return ()

    def _is_done(self, target: Path) -> bool:
        """Raises OutputError where something else is in the way."""
        around = self._around
        if around.journal is None:
            refuse_existing([target], around.settings.force)
            return False
        assert isinstance(self.source, Path)
        with source_errors(self.source):
            if not self.source.is_file():  # lists may name what is not there, and files may go during a run
                raise MissingInputError(f"{self.source}: no such picture", hint="check the name")
            self._key = key_of(self.source, around.artifact, around.settings)
        if around.settings.force:
            return False
        if around.journal.is_done(target, self._key):
            recover(target)  # of a run that was killed between putting it in place and tidying up
            return True
        if target.exists() or target.is_symlink():
            what = (
                "is there already, from another picture, artifact or settings"
                if around.journal.is_known(target)
                else ""
            )
            raise OutputError(f"{target}: {what or 'is there already'}", hint="--force replaces it")
        return False

    def _write(self, target: Path) -> tuple[str, ...]:
        """Sentences on what was lost on the way."""
        assert self._opened is not None
        quality = self._around.settings.quality
        with staging(target) as folder:
            staged = folder / target.name
            lost = save_picture(staged, self._pixels, format_of_target(target), self._opened, quality)
            if self._around.journal is not None:
                self._around.journal.add(target, self._key, sha256_of(staged))
            publish(target, [staged])
        return lost


def key_of(source: Path, artifact: str, settings: Settings) -> str:
    """sha256 of all that decides the result: the picture's bytes, the artifact, the settings."""
    shown = {name: value for name, value in asdict(settings).items() if name != "force"}
    return hashlib.sha256(f"{sha256_of(source)} {artifact} {sorted(shown.items())}".encode()).hexdigest()
