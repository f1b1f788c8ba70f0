"""Opening picture files: facts at once, rows on demand, upright, with all bits, alpha, EXIF and colour profile."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from elir_edge.core.files import source_errors
from elir_edge.errors import DataError, MissingInputError, UsageError
from elir_edge.imaging.colour_points import NO_COLOUR, Colour, colour_of_avif, colour_of_png
from elir_edge.imaging.conversion import TO_SRGB, to_rgb
from elir_edge.imaging.file_formats import FORMATS, kind_of
from elir_edge.imaging.foreign import Decoded, decode
from elir_edge.imaging.jpeg_segments import read_segments
from elir_edge.imaging.libvips import descriptor_of, exif_carrier, from_array, libvips_errors, open_descriptor, rows_of
from elir_edge.imaging.limits import refuse_empty_png, refuse_too_large
from elir_edge.imaging.png_chunks import TEXTS, Chunk, read_chunks
from elir_edge.imaging.single import refuse_animation, refuse_several
from elir_edge.imaging.tiff_exif import DAMAGED_EXIF, DROPPED, read_tiff_exif
from elir_edge.imaging.tiling import ReadRows

PROFILES = ("keep", "srgb")
FURTHER = ("further pictures in the file, such as a preview or a gain map, are dropped",)
STRIPPED = ("jpeg-thumbnail-data",)


@dataclass
class Opened:
    """A picture that is read row by row, from top to bottom.

    Args:
        height, width: upright, in pixels. channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
        bits: of a channel in the file; rows are uint8 for 8 or fewer, else uint16 scaled to 0..65535.
        kind: format of the file. read: rows, count x W x channels.
        header: the image of libvips that holds the metadata. notes: what is not kept, and why.
        colour: what says which colours are meant, besides a profile. texts: chunks of a PNG, comments of a
            JPEG.
    """

    path: Path
    height: int
    width: int
    channels: int
    bits: int
    kind: str
    read: ReadRows
    header: Any
    notes: tuple[str, ...]
    descriptor: int | None
    colour: Colour = NO_COLOUR
    texts: tuple[Chunk, ...] = ()

    @property
    def alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)

    @property
    def dtype(self) -> type:
        """Of rows."""
        return np.uint16 if self.bits > 8 else np.uint8

    def close(self) -> None:
        """Close the file."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_picture(path: str | Path, profile: str = "keep") -> Opened:
    """Open a picture: PNG, JPEG, WebP, TIFF, AVIF, BMP, PPM, and with extras HEIC and camera raw, told by content.

    EXIF orientation is applied. Palettes become RGB, CMYK and Lab become sRGB. ``profile``: "keep" leaves pixel values
    as they are, beside their colour profile; "srgb" converts them by it, perceptual intent, and drops it.

    Raises MissingInputError where there is no file or it cannot be read, DataError for one that is damaged, no picture,
    has several frames or floating point pixels (but Lab), UnavailableError where a package is missing.
    """
    path = Path(path)
    if profile not in PROFILES:
        raise UsageError(
            f"profile '{profile}' is not one of {', '.join(PROFILES)}", hint="choose one of these with --profile"
        )
    if not path.is_file():
        raise MissingInputError(f"{path}: no such picture", hint="check the name")
    with source_errors(path):
        kind = kind_of(path)
    if kind is None:
        known = ", ".join(known.name.upper() for known in FORMATS)
        raise DataError(f"{path}: not a picture of a known format, or damaged", hint=f"known: {known}")
    if kind in ("heic", "raw", "bmp", "ppm"):
        decoded = decode(kind, path)
        opened = _as_opened(path, kind, _from_decoded(decoded), None, profile)
        return _with_colour(opened, decoded.colour, (), profile)
    return _open_with_libvips(path, kind, profile)


def opened_array(path: Path, pixels: np.ndarray) -> Opened:
    """What an array, H x W x channels, is beside the picture ``path`` that it becomes: no metadata."""
    height, width, channels = pixels.shape
    bits, header = 8 * pixels.dtype.itemsize, from_array(pixels[:1, :1])
    return Opened(
        path, height, width, channels, bits, "", lambda top, count: pixels[top : top + count], header, (), None
    )


def _open_with_libvips(path: Path, kind: str, profile: str) -> Opened:
    with source_errors(path):
        refuse_animation(path, kind)
        if kind == "png":
            refuse_empty_png(path)
        chunks = read_chunks(path) if kind == "png" else ()
        comments, several = read_segments(path) if kind == "jpeg" else ((), False)
        colour = colour_of_avif(path) if kind == "avif" else colour_of_png(chunks)
        descriptor = descriptor_of(path)
    try:
        with libvips_errors(path):
            image = open_descriptor(descriptor, sequential=True)
            refuse_several(image, path, kind)
            if _orientation(image) != 1:
                os.lseek(descriptor, 0, os.SEEK_SET)
                image = open_descriptor(descriptor, sequential=False)
            bits = image.get("bits-per-sample") if _has(image, "bits-per-sample") else 8
            opened = _as_opened(path, kind, (image, bits, FURTHER if several else ()), descriptor, profile)
            texts = tuple(chunk for chunk in chunks if chunk[0] in TEXTS) or tuple((b"COM", text) for text in comments)
            return _with_colour(opened, colour, texts, profile)
    except BaseException:
        os.close(descriptor)
        raise


def _from_decoded(decoded: Decoded) -> tuple[Any, int, tuple[str, ...]]:
    pixels = decoded.pixels
    image, more = _with_exif(from_array(pixels), decoded.exif)
    if decoded.resolution:
        image = image.copy(xres=decoded.resolution[0], yres=decoded.resolution[1])
    for name, data in (("icc-profile-data", decoded.profile), ("xmp-data", decoded.xmp)):
        if data:
            image.set_type(_blob(), name, data)
    if _has(image, "orientation"):
        image.remove("orientation")  # these decoders give upright pixels
    return image, decoded.bits, (*decoded.notes, *more)


def _with_exif(image: Any, exif: bytes) -> tuple[Any, tuple[str, ...]]:
    """``image`` with the fields of an EXIF block, and what is lost of it."""
    try:
        return (with_fields(image, exif_carrier(exif)) if exif else image), ()
    except ValueError:  # a JPEG's limit: libvips takes EXIF from one
        return image, ("EXIF is dropped: only 64 KB of it are read",)


def _as_opened(
    path: Path, kind: str, found: tuple[Any, int, tuple[str, ...]], descriptor: int | None, profile: str
) -> Opened:
    image, bits, notes = found
    header = image
    if kind == "tiff":
        try:
            header, lost = _with_exif(image, read_tiff_exif(path))
        except (OSError, *DAMAGED_EXIF):
            lost = (DROPPED,)
        notes += lost
    refuse_too_large(path, image.width, image.height)
    upright = image.autorot() if _orientation(image) != 1 else image
    image, more = to_rgb(upright, path, profile)
    if image is not upright and _has(header, "icc-profile-data"):  # it does not hold for the converted colours
        header = header.copy()
        header.remove("icc-profile-data")
    if image.format == "ushort" and bits <= 8:
        bits = 16
    return Opened(
        path,
        image.height,
        image.width,
        image.bands,
        bits if image.format == "ushort" else 8,
        kind,
        rows_of(image, path),
        header,
        (*notes, *more),
        descriptor,
    )


def _with_colour(opened: Opened, colour: Colour, texts: tuple[Chunk, ...], profile: str) -> Opened:
    """``opened`` with the description of its colours, unless they are converted to others."""
    if TO_SRGB in opened.notes:
        return replace(opened, texts=texts)
    if profile == "srgb" and colour.name and not _has(opened.header, "icc-profile-data"):
        note = f"colours stay as {colour.name} describes them: only ICC profiles are converted to sRGB"
        opened.notes += (note,)
    return replace(opened, colour=colour, texts=texts)


def with_fields(image: Any, carrier: Any) -> Any:
    """``image`` with the EXIF fields of ``carrier``, but not its orientation."""
    image = image.copy()
    for name in carrier.get_fields():
        if name.startswith("exif-") and not name.startswith("exif-ifd1"):
            image.set_type(carrier.get_typeof(name), name, carrier.get(name))
    return image


def _orientation(image: Any) -> int:
    return int(image.get("orientation")) if _has(image, "orientation") else 1


def _has(image: Any, name: str) -> bool:
    return bool(image.get_typeof(name))


def _blob() -> int:
    import pyvips

    return int(pyvips.GValue.blob_type)
