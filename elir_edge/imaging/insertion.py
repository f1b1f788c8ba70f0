"""Bytes inserted into a file that is complete."""

from __future__ import annotations

from typing import BinaryIO

BLOCK = 2**20


def insert_bytes(file: BinaryIO, place: int, added: bytes) -> None:
    """Insert ``added`` at the offset ``place`` of a file that is open for reading and writing.

    What is behind is moved in blocks. Raises OSError where the file cannot be written.
    """
    end = file.seek(0, 2)
    while end > place:
        start = max(place, end - BLOCK)
        file.seek(start)
        block = file.read(end - start)
        file.seek(start + len(added))
        file.write(block)
        end = start
    file.seek(place)
    file.write(added)
