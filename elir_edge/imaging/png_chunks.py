"""Chunks of PNG files that libvips drops or rewrites: descriptions of colours, texts and XMP, as they are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from elir_edge.imaging.insertion import insert_bytes

Chunk = tuple[bytes, bytes]  # kind, content

COLOURS = (b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI")
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
PIXELS = b"IDAT"
XMP = b"XML:com.adobe.xmp\0"
SIGNATURE, FRAME = 8, 12  # bytes: of a file's begin; of a chunk's length, kind and checksum


def read_chunks(path: Path) -> tuple[Chunk, ...]:
    """The chunks of ``COLOURS`` and ``TEXTS`` in a PNG file, in their order; no XMP, and none with a wrong checksum.

    Raises OSError where the file cannot be read.
    """
    found = []
    with path.open("rb") as file:
        for kind, _, length in walk_chunks(file):
            if kind in COLOURS + TEXTS:
                data, checksum = file.read(length), file.read(4)
                if checksum == _checksum(kind, data) and not data.startswith(XMP):
                    found.append((kind, data))
    return tuple(found)


def walk_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind, its offset, and the length of its content, at which ``file`` stands then. Raises OSError."""
    place = SIGNATURE
    file.seek(place)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">L4s", head)
        yield kind, place, length
        place += FRAME + length
        file.seek(place)


def xmp_chunk(xmp: bytes) -> Chunk:
    """XMP as its specification wants it in PNG: UTF-8 text, not compressed."""
    return b"iTXt", XMP + bytes(4) + xmp


def insert_chunks(file: BinaryIO, chunks: Iterable[Chunk]) -> None:
    """Insert ``chunks`` before the pixels of a complete PNG file, open for reading and writing. Raises OSError."""
    added = b"".join(_pack(kind, data) for kind, data in chunks)
    if added:
        pixels = next(place for kind, place, _ in walk_chunks(file) if kind == PIXELS)
        insert_bytes(file, pixels, added)


def _pack(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + _checksum(kind, data)


def _checksum(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", zlib.crc32(kind + data))
