"""What says which colours pixels mean, besides an ICC profile: code points of H.273, gAMA and cHRM of PNG.

The code points, (primaries, transfer characteristics), are ``cICP`` in PNG and ``nclx`` in AVIF and HEIC.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from elir_edge.imaging.png_chunks import COLOURS, Chunk

Points = tuple[int, int]

PLAIN_PRIMARIES, PLAIN_TRANSFERS = (1, 2), (1, 2, 6, 13)  # those of sRGB and BT.709, or not stated
SRGB_GAMMA = 45455  # times 100,000, as in gAMA
SRGB_CHROMA = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)  # white, red, green, blue
NEAR = 100
BEGIN = 2**16


@dataclass(frozen=True)
class Colour:
    """The description of a file's colours; ``chunks`` are those of a PNG."""

    points: Points | None = None
    chunks: tuple[Chunk, ...] = ()

    @property
    def name(self) -> str:
        """What would be missed: ``cICP 9/16``, ``gAMA, cHRM``; empty where it says no more than sRGB."""
        if self.points is not None:
            primaries, transfer = self.points
            plain = primaries in PLAIN_PRIMARIES and transfer in PLAIN_TRANSFERS
            return "" if plain else f"{'cICP' if self.chunks else 'nclx'} {primaries}/{transfer}"
        if any(kind == b"sRGB" for kind, _ in self.chunks):
            return ""  # it is before the others
        return ", ".join(kind.decode() for kind, data in self.chunks if _differs_from_srgb(kind, data))

    def png_chunks(self) -> tuple[Chunk, ...]:
        """The description in a PNG."""
        if self.chunks or self.points is None or not self.name or max(self.points) > 255:
            return self.chunks
        return ((b"cICP", bytes([*self.points, 0, 1])),)


NO_COLOUR = Colour()


def colour_of_png(chunks: tuple[Chunk, ...]) -> Colour:
    """The description that ``chunks`` of a PNG are."""
    kept = tuple(chunk for chunk in chunks if chunk[0] in COLOURS)
    stated = next((data for kind, data in kept if kind == b"cICP" and len(data) == 4), None)
    return Colour(None if stated is None else (stated[0], stated[1]), kept)


def colour_of_avif(path: Path) -> Colour:
    """The description in the box ``colr`` of an AVIF, which libvips does not read. Raises OSError."""
    with path.open("rb") as file:
        begin = file.read(BEGIN)
    place = begin.find(b"colrnclx")
    if place < 0 or len(begin) < place + 12:
        return NO_COLOUR
    return Colour(struct.unpack(">HH", begin[place + 8 : place + 12]))


def _differs_from_srgb(kind: bytes, data: bytes) -> bool:
    usual = {b"gAMA": (SRGB_GAMMA,), b"cHRM": SRGB_CHROMA}.get(kind, ())
    if not usual or len(data) != 4 * len(usual):
        return False
    given = struct.unpack(f">{len(usual)}L", data)
    return any(abs(value - expected) > NEAR for value, expected in zip(given, usual, strict=True))
