"""Picture files made and read without what is under test: by Pillow, and PNG, which has 16 bits, by zlib."""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from elir_edge.runtime.batch import run_pictures
from elir_edge.runtime.settings import Settings
from tests.sessions import IdentitySession

DATE, TAKEN = 0x9003, "2020:01:02 03:04:05"
ORIENTATION, MAKE = 0x0112, 0x010F


@functools.cache  # LittleCMS writes the time into it
def profile(space: str = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def swapped_profile() -> bytes:
    """sRGB's profile with the tags of red's and green's primaries exchanged: a space with other colours."""
    return profile().replace(b"rXYZ", b"swap").replace(b"gXYZ", b"rXYZ").replace(b"swap", b"gXYZ")


def exif(orientation: int = 1) -> bytes:
    data = Image.Exif()
    data[ORIENTATION], data[MAKE] = orientation, "Maker"
    data.get_ifd(0x8769)[DATE] = TAKEN
    return data.tobytes()


def restore_file(source: Path, target: Path, **settings):
    [result] = run_pictures([(source, target)], [IdentitySession()], "identity", Settings(**settings))
    assert result.error is None, result.error
    return result


def random_pixels(channels: int, bits: int, height: int = 40, width: int = 30) -> np.ndarray:
    dtype = np.uint16 if bits == 16 else np.uint8
    pixels = np.random.default_rng(bits + channels).integers(0, 2**bits, (height, width, channels)).astype(dtype)
    return pixels if channels > 1 else pixels[..., 0]


def write_png(path: Path, pixels: np.ndarray) -> None:
    """A PNG of 8 or 16 bits with 1 to 4 channels: Pillow has no 16-bit colour."""
    shaped = pixels if pixels.ndim == 3 else pixels[..., None]
    height, width, channels = shaped.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in shaped)
    head = struct.pack(">IIBBBBB", width, height, shaped.dtype.itemsize * 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    )


def read_png(path: Path) -> np.ndarray:
    """Pixels of a PNG without interlacing, by zlib and the five filters of its specification."""
    data, place, packed = path.read_bytes(), 8, b""
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, bits, colour = struct.unpack(">IIBB", content[:10])
        packed += content if kind == b"IDAT" else b""
        place += length + 12
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    step = channels * bits // 8
    raw, above, rows = zlib.decompress(packed), bytearray(width * step), []
    for y in range(height):
        start = y * (width * step + 1)
        above = unfilter(raw[start], bytearray(raw[start + 1 : start + 1 + width * step]), above, step)
        rows.append(bytes(above))
    dtype = np.dtype(">u2" if bits == 16 else "u1")
    shaped = np.frombuffer(b"".join(rows), dtype).reshape(height, width, channels)
    return shaped.astype(dtype.newbyteorder("="))


def unfilter(kind: int, row: bytearray, above: bytearray, step: int) -> bytearray:
    for i in range(len(row)):
        left, up = row[i - step] if i >= step else 0, above[i]
        corner = above[i - step] if i >= step else 0
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda value: abs(guess - value))
        row[i] = (row[i] + (0, left, up, (left + up) // 2, nearest)[kind]) % 256
    return row
