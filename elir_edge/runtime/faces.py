"""Pictures with faces in them: each restored by itself, upright and 512 x 512, what is around it in another way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import model_sha256
from elir_edge.artifacts.tensors import graph_size
from elir_edge.core.journal import Journal
from elir_edge.errors import UsageError
from elir_edge.imaging.face_detector import FaceDetector
from elir_edge.imaging.face_frame import FaceFrame
from elir_edge.imaging.face_paste import paste_face
from elir_edge.imaging.levels import from_levels, over_white, to_levels
from elir_edge.imaging.saving import Layout
from elir_edge.imaging.tiling import ReadRows, Tile
from elir_edge.runtime.base import Session
from elir_edge.runtime.restore import check_overlap, image_input, noise_field, restore_picture, restore_tile
from elir_edge.runtime.settings import Settings
from elir_edge.runtime.work import FEW_ROWS, Restored, Surroundings, Work
from elir_edge.runtime.works import Pair, run_works

LEVELS = "faces have 256 levels: their artifact takes and gives bytes (a float one keeps 16 bits)"


@dataclass(frozen=True)
class FaceSessions:
    """The session that restores faces, and the one for what is around them; None leaves that as it is."""

    face: Session
    background: Session | None = None


class FaceTile(Tile):
    """An aligned face, uint16 512 x 512 x 1 or 3; ``top`` is its place among the picture's faces."""


def check_faces(faces: bool, background: str | Path | None, settings: Settings) -> None:
    """Raise UsageError where a background is asked for without faces, or restored alpha without a background."""
    if background is not None and not faces:
        raise UsageError("a background is what is around faces", hint="ask for faces too (--faces)")
    if faces and background is None and settings.alpha == "restore":
        raise UsageError(
            "alpha is restored with the background, and that is left as it is", hint="give an artifact for it"
        )


def face_key(artifact: str, background: Path | None) -> str:
    """What stands for both models in a journal: ``artifact`` is the one's key, ``background`` the other's path."""
    return f"{artifact} faces {model_sha256(background) if background else 'left'}"


def run_face_pictures(
    pictures: Iterable[Pair],
    sessions: Sequence[FaceSessions],
    artifact: str,
    settings: Settings,
    journal: Journal | None = None,
    advance: Callable[[float], None] = lambda share: None,
) -> Generator[Restored, None, None]:
    """Restore the faces of (source, target) pairs, as ``run_pictures`` restores whole pictures.

    ``artifact`` stands for the models in keys of the journal. Raises UnavailableError without the extra ``faces``,
    UsageError where tiles cannot share so much.
    """
    detector = FaceDetector()
    first = sessions[0].background
    image = image_input(first or sessions[0].face)
    for session in (sessions[0].face, first):
        if session is not None:
            check_overlap(settings.overlap, graph_size(image_input(session)))
    around = Surroundings(settings, graph_size(image), bool(first) and image.dtype == "uint8", artifact, journal)
    field = noise_field(first, settings.seed) if first else None

    def restore(runner: FaceSessions, tile: Tile) -> np.ndarray:
        if isinstance(tile, FaceTile):
            return restore_picture(runner.face, tile.pixels, settings.seed, overlap=settings.overlap)
        if runner.background is None:
            return to_levels(tile.pixels)
        return restore_tile(runner.background, tile, field, settings.alpha == "restore")

    works = (
        FaceWork(source, target, around, place, detector, sessions[0])
        for place, (source, target) in enumerate(pictures)
    )
    yield from run_works(works, restore, sessions, advance)


class FaceWork(Work):
    """One picture: the tiles of its background, then its faces, which are pasted into it."""

    def __init__(
        self,
        source: Path | np.ndarray,
        target: Path | None,
        around: Surroundings,
        place: int,
        detector: FaceDetector,
        session: FaceSessions,
    ) -> None:
        super().__init__(source, target, around, place)
        self._detector, self._restores_background = detector, session.background is not None
        self._eight_bits = image_input(session.face).dtype == "uint8"
        self._blends = False
        self._frames: list[FaceFrame] | None = None
        self._background: np.ndarray | None = None

    def tiles(self) -> Iterator[Tile]:
        """Open the picture and find its faces; the tiles of the background, then the faces."""
        yield from super().tiles()
        for place, frame in enumerate(self._frames or ()):
            yield FaceTile(place, 0, self._face_of(frame, self._whole))

    def add(self, tile: Tile, part: np.ndarray) -> None:
        """The restored tile, float32 0..255, or the restored face, uint16."""
        if not isinstance(tile, FaceTile):
            super().add(tile, part)
            return
        if self._restores_background and self._background is None:
            self._background = self._pixels.copy()
        self._paste(tile, part)

    def finish(self) -> Restored:
        """Blend onto white where the format holds no alpha, write the result, and close the picture."""
        if self._blends and not self._skipped:
            self._pixels = _over_white(self._pixels)
        return super().finish()

    def _paste(self, tile: FaceTile, face: np.ndarray) -> None:
        frames = self._frames or []
        colours = self._pixels[..., : 3 if self._layout.channels >= 3 else 1]
        behind, before = self._whole, tile.pixels
        if self._background is not None:
            behind, before = self._background, self._face_of(frames[tile.top], self._background)
        paste_face(colours, frames, tile.top, to_levels(before), to_levels(face), behind[..., self._colours])

    def _open(self) -> tuple[int, int, ReadRows]:
        height, width, read = super()._open()
        self._whole = read(0, height)
        self._colours = slice(0, 3 if self._whole.shape[2] >= 3 else 1)
        self._frames = [face.frame for face in self._detector.find(self._whole)]
        self.further_count = len(self._frames)
        layout = self._layout
        self._blends = layout.channels < self._whole.shape[2]  # after the faces, which are behind alpha too
        lost = (LEVELS,) if self._frames and self._eight_bits and layout.dtype == np.uint16 else ()
        self._layout = Layout(layout.dtype, layout.channels + int(self._blends), (*layout.lost, *lost))
        return height, width, lambda top, count: self._whole[top : top + count]

    def _face_of(self, frame: FaceFrame, pixels: np.ndarray) -> np.ndarray:
        """The colours of the face, uint16, in as many channels as the source has."""
        return from_levels(frame.aligned_face(pixels[..., self._colours]), np.uint16)

    def _report(self, **more: Any) -> Restored:
        return super()._report(faces=None if self._frames is None else len(self._frames), **more)


def _over_white(pixels: np.ndarray) -> np.ndarray:
    """H x W x colours and alpha -> H x W x colours, a few rows at a time."""
    blended: np.ndarray = np.empty((*pixels.shape[:2], pixels.shape[2] - 1), pixels.dtype)
    for top in range(0, len(pixels), FEW_ROWS):
        rows = slice(top, top + FEW_ROWS)
        blended[rows] = from_levels(over_white(to_levels(pixels[rows])), pixels.dtype)
    return blended
