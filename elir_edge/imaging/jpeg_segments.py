"""Segments of JPEG files that libvips does not read: comments, and the sign of further pictures in the file."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from elir_edge.imaging.insertion import insert_bytes

COMMENT, APPLICATION, SCAN, APP2 = 0xFE, range(0xE0, 0xF0), 0xDA, 0xE2
SEVERAL = b"MPF\0"  # of the Multi-Picture Format of CIPA


def read_segments(path: Path) -> tuple[tuple[bytes, ...], bool]:
    """The comments before the pixels, as they are, and whether the file holds further pictures. Raises OSError."""
    comments, several = [], False
    with path.open("rb") as file:
        for marker, _, length in _walk_segments(file):
            if marker == COMMENT:
                comments.append(file.read(length))
            several = several or (marker == APP2 and file.read(length).startswith(SEVERAL))
    return tuple(comments), several


def insert_comments(file: BinaryIO, comments: Iterable[bytes]) -> None:
    """Insert ``comments`` into a complete JPEG, open for reading and writing, behind its metadata. Raises OSError."""
    added = b"".join(b"\xff\xfe" + struct.pack(">H", len(data) + 2) + data for data in comments)
    if not added:
        return
    place = next(place for marker, place, _ in _walk_segments(file) if marker not in APPLICATION)
    insert_bytes(file, place, added)


def _walk_segments(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Each segment's marker, its offset, and the length of its content, at which ``file`` stands; to the pixels."""
    place = 2
    file.seek(place)
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != SCAN:
        length = max(2, int.from_bytes(head[2:], "big")) - 2  # it counts itself
        yield head[1], place, length
        place += 4 + length
        file.seek(place)
