"""Restoring video files: every frame, at its time, beside its sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elir_edge.core.progress import Progress, Silent
from elir_edge.core.publish import publish, staging
from elir_edge.core.storage import storage_errors, sync
from elir_edge.imaging.video import VideoCopy
from elir_edge.runtime.base import Session
from elir_edge.runtime.frames import Told, count_frames, restore_frames
from elir_edge.runtime.settings import Settings


def restore_video(
    source: Path, target: Path, sessions: Sequence[Session], settings: Settings, progress: Progress | None = None
) -> Told:
    """Restore the video ``source`` to the new file ``target``, completely or not at all.

    Times of frames, size, colour range and matrix, pixel format, metadata, sound and subtitles are those of the
    source. Every frame has the same noise. Raises MissingInputError, DataError, UsageError for an unknown suffix,
    UnavailableError without the package av, OutputError or StorageError.
    ``progress`` is told what is not kept.
    """
    shown = progress or Silent()
    with staging(target) as folder:
        staged = folder / target.name
        with storage_errors(staged), staged.open("x+b") as file:
            with (
                VideoCopy(source, file, target.suffix, settings.quality) as video,
                shown.stage(f"restoring {source.name}"),
            ):
                for text in video.notes:
                    shown.note(f"note: {text}")
                told = count_frames(restore_frames(video.frames(), sessions, settings), video.write)
                video.finish()
            file.flush()
            sync(file.fileno())
        publish(target, [staged])
    return told
