"""EXIF inside TIFF files, which libvips neither reads nor writes: read by Pillow, added behind a finished file."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
ASCII, LONG = 2, 4
# Text about the picture that EXIF keeps in the file's first directory; other tags there describe the pixels.
WORDS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
HEAD, ENTRY = 8, 12
MARK = b"Exif\0\0"
WIDTH, HEIGHT = 0xA002, 0xA003
# What Pillow raises for blocks that break EXIF's rules.
DAMAGED_EXIF = (SyntaxError, TypeError, ValueError, KeyError, AttributeError, OverflowError, struct.error)
DROPPED = "EXIF is dropped: damaged"


def read_tiff_exif(path: Path) -> bytes:
    """The EXIF block of a TIFF file, without the tags that describe its pixels; empty where it has none."""
    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

    with TiffImageFile(path) as picture:  # not Image.open, which counts pixels: none is decoded here
        found = picture.getexif()
        kept = Image.Exif()
        for tag in WORDS:
            if tag in found:
                kept[tag] = found[tag]
        for group in (EXIF_IFD, GPS_IFD):
            values = found.get_ifd(group)
            if values:
                kept.get_ifd(group).update(values)
        return kept.tobytes() if len(kept) or any(kept.get_ifd(group) for group in (EXIF_IFD, GPS_IFD)) else b""


def with_sides(exif: bytes, width: int, height: int) -> bytes:
    """An EXIF block whose tags of the picture's width and height, if it has them, say these; a damaged one as it is."""
    start = len(MARK) if exif.startswith(MARK) else 0
    order = "<" if exif[start : start + 2] == b"II" else ">"
    changed = bytearray(exif)
    try:
        (first,) = struct.unpack_from(f"{order}L", exif, start + 4)
        _, pointer = _find(exif, start, order, first)[EXIF_IFD]
        for tag, (place, _) in _find(exif, start, order, pointer).items():
            if tag in (WIDTH, HEIGHT):
                struct.pack_into(f"{order}HHLL", changed, place, tag, LONG, 1, width if tag == WIDTH else height)
    except (struct.error, KeyError):
        return exif
    return bytes(changed)


def _find(exif: bytes, start: int, order: str, directory: int) -> dict[int, tuple[int, int]]:
    """Tag -> (place of its entry, the entry's last four bytes) in a directory of a block that begins at ``start``."""
    (count,) = struct.unpack_from(f"{order}H", exif, start + directory)
    places = [start + directory + 2 + ENTRY * i for i in range(count)]
    entries = [(place, struct.unpack_from(f"{order}HHLL", exif, place)) for place in places]
    return {tag: (place, value) for place, (tag, _, _, value) in entries}


def add_tiff_exif(file: BinaryIO, exif: bytes) -> tuple[str, ...]:
    """Add an EXIF block to a complete TIFF file, open for reading and writing; its pixels stay where they are.

    A new first directory is written at the end: the entries that were there, and those for EXIF. A BigTIFF is left as
    it is. So is a file for which the block is damaged: a sentence that says so is returned.
    """
    file.seek(0)
    head = file.read(HEAD)
    order = "<" if head[:2] == b"II" else ">"
    if struct.unpack(f"{order}H", head[2:4])[0] != 42:
        return ()
    entries = _entries(file, order, struct.unpack(f"{order}L", head[4:])[0])
    end = file.seek(0, 2)
    tail = _Tail(end + end % 2, bytearray())
    try:
        entries |= _exif_entries(tail, order, exif, entries)
    except DAMAGED_EXIF:
        return (DROPPED,)
    place = tail.add(_pack_directory(order, entries))
    file.seek(tail.start)
    file.write(tail.data)
    file.seek(4)
    file.write(struct.pack(f"{order}L", place))
    return ()


@dataclass
class _Tail:
    """What comes behind a file, from the offset ``start`` on: whole before the file is touched."""

    start: int
    data: bytearray

    def place(self) -> int:
        """Offset in the file of what is added next."""
        self.data += bytes(len(self.data) % 2)
        return self.start + len(self.data)

    def add(self, data: bytes) -> int:
        """Add ``data``; its offset in the file."""
        place = self.place()
        self.data += data
        return place


def _exif_entries(tail: _Tail, order: str, exif: bytes, there: dict[int, bytes]) -> dict[int, bytes]:
    """Entries by tag for the texts and the directories of ``exif``, but those that are ``there``."""
    from PIL import Image

    block = Image.Exif()
    block.load(exif)
    entries = {tag: _text(tail, order, tag, str(block[tag])) for tag in WORDS if tag in block and tag not in there}
    for group in (EXIF_IFD, GPS_IFD):
        values = dict(block.get_ifd(group))
        if values:
            entries[group] = _directory(tail, order, group, values)
    return entries


def _entries(file: BinaryIO, order: str, place: int) -> dict[int, bytes]:
    """The entries of the directory at ``place`` by tag, as they are."""
    file.seek(place)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    parts = [file.read(ENTRY) for _ in range(count)]
    return {struct.unpack(f"{order}H", part[:2])[0]: part for part in parts}


def _text(tail: _Tail, order: str, tag: int, text: str) -> bytes:
    data = text.encode("utf-8", "replace") + b"\0"
    if len(data) <= 4:
        return struct.pack(f"{order}HHL", tag, ASCII, len(data)) + data.ljust(4, b"\0")
    return struct.pack(f"{order}HHLL", tag, ASCII, len(data), tail.add(data))


def _directory(tail: _Tail, order: str, tag: int, values: dict[int, Any]) -> bytes:
    """Add a directory of its own, and return the entry that points to it."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    prefix = (b"II*\0" if order == "<" else b"MM\0*") + bytes(4)
    directory = ImageFileDirectory_v2(prefix, group=tag)
    for key, value in values.items():
        if not isinstance(value, dict):  # a directory inside, such as a maker's: it cannot be moved
            directory[key] = value
    return struct.pack(f"{order}HHLL", tag, LONG, 1, tail.add(directory.tobytes(tail.place())))


def _pack_directory(order: str, entries: dict[int, bytes]) -> bytes:
    return struct.pack(f"{order}H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
