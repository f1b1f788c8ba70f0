"""libvips: opened through file descriptors, so that names of files are never parsed, with errors as the project's own.

It was chosen by measurement (docs/pictures.md): all of PNG, JPEG, WebP, TIFF and AVIF with 16 bits, alpha, profiles and
EXIF, in strips of rows, faster than Pillow and with less memory.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.errors import MORE_MEMORY, DataError, ResourceError, UnavailableError, is_memory_error

TYPES = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort"}


def load_library() -> Any:
    """The package pyvips. Raises UnavailableError where it, or libvips, is missing."""
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise UnavailableError(
            f"picture files are read by libvips, which cannot be loaded: {error}",
            hint="pip install 'pyvips[binary]'",
        ) from error
    logging.getLogger("pyvips").propagate = False  # what it logs about a damaged file is told as a DataError
    return pyvips


@contextmanager
def libvips_errors(path: str | Path) -> Iterator[None]:
    """Turn libvips' errors about a file into DataError, and ResourceError where memory ran out."""
    pyvips = load_library()
    try:
        yield
    except pyvips.Error as error:
        if is_memory_error(error):
            raise ResourceError(f"{path}: not enough memory to read it", hint=MORE_MEMORY) from error
        reason = next((line for line in reversed(str(error).strip().splitlines()) if line.strip()), "")
        if "labq" in reason:  # a whole file, whose kind libvips writes and does not read
            raise DataError(f"{path}: Lab of 8 bits is not read", hint="save it as RGB, or with 16 bits") from error
        if "not configured" in reason:
            raise DataError(
                f"{path}: its compression is not read ({reason})", hint="save it with LZW or deflate"
            ) from error
        raise DataError(
            f"{path}: damaged or cut short ({reason.strip()})", hint="copy it again, or leave it out"
        ) from error


def open_descriptor(descriptor: int, sequential: bool) -> Any:
    """The picture in an open file, lazily. Only rows from top to bottom can be had of a ``sequential`` one.

    Anything that is missing or wrong in the file is an error, never grey pixels.
    """
    pyvips = load_library()
    source = pyvips.Source.new_from_descriptor(descriptor)
    access = "sequential" if sequential else "random"
    return pyvips.Image.new_from_source(source, "", access=access, fail_on="error")


def from_array(pixels: np.ndarray) -> Any:
    """An image of an array, H x W x channels, uint8 or uint16; it shares the memory."""
    pyvips = load_library()
    height, width, channels = pixels.shape
    deep = pixels.dtype == np.uint16
    grey, colour = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).reshape(-1).data, width, height, channels, TYPES[pixels.dtype]
    )
    return image.copy(interpretation=grey if channels < 3 else colour)


def rows_of(image: Any, path: str | Path) -> Any:
    """A function (top, count) -> rows of ``image``, count x W x channels."""
    pyvips = load_library()
    region = pyvips.Region.new(image)
    dtype = np.uint16 if image.format == "ushort" else np.uint8

    def read(top: int, count: int) -> np.ndarray:
        with libvips_errors(path):
            data = region.fetch(0, top, image.width, count)
        return np.frombuffer(data, dtype).reshape(count, image.width, image.bands)

    return read


def exif_carrier(exif: bytes) -> Any:
    """An image of one pixel that has ``exif`` (with or without ``Exif`` at its beginning) as libvips' fields."""
    from PIL import Image

    encoded = io.BytesIO()
    Image.new("RGB", (1, 1)).save(encoded, "JPEG", exif=exif)
    return load_library().Image.new_from_buffer(encoded.getvalue(), "")


def descriptor_of(path: Path) -> int:
    """An open file's descriptor for reading; the caller closes it."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
