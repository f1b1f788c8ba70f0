"""Pictures that are too large: told from their headers, before any pixel is decoded."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from elir_edge.core.memory import memory_room
from elir_edge.errors import DataError, ResourceError

MOST_PIXELS = 2**31
DEFLATED = 1032  # bytes that one byte of a deflate stream can become: 258 from 2 bits
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
MIB = 2**20


def refuse_too_large(path: Path, width: int, height: int) -> None:
    """Raise DataError for a picture of more than ``MOST_PIXELS``."""
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{path}: {width} x {height} pixels, more than {MOST_PIXELS} in all",
            hint="cut it into parts, or scale it down first",
        )


def refuse_empty_png(path: Path) -> None:
    """Raise DataError for a PNG with too few bytes for the pixels of its header, however well they are packed."""
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) < 26 or head[12:16] != b"IHDR":
        return
    width, height, bits, colour = struct.unpack(">LLBB", head[16:26])
    size = path.stat().st_size
    if height * (1 + width * bits * PNG_CHANNELS.get(colour, 1) / 8) > size * DEFLATED:
        raise DataError(
            f"{path}: damaged or cut short ({size} bytes cannot hold {width} x {height} pixels)",
            hint="copy it again, or leave it out",
        )


def refuse_beyond_memory(name: str, shape: tuple[int, int, int], dtype: type) -> None:
    """Raise ResourceError where the picture ``name``, H x W x channels, needs more memory than there is."""
    room = memory_room()
    if room is not None and _bytes(shape, dtype) > room:
        raise beyond_memory(name, shape, dtype)


def beyond_memory(name: str, shape: tuple[int, int, int], dtype: type) -> ResourceError:
    """The error for a picture that memory does not hold; ``shape`` is H x W x channels, zeros where not known yet."""
    height, width, _ = shape
    size = f": {width} x {height} pixels need {_bytes(shape, dtype) // MIB} MiB and more" if height else " to read it"
    return ResourceError(
        f"{name}: not enough memory{size}",
        hint="cut it into parts, close other programs, or raise the limit (ulimit -v)",
    )


def _bytes(shape: tuple[int, int, int], dtype: type) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize
