"""Writing restored pictures with what their sources carried: EXIF, XMP, IPTC, colour profile, alpha, 16 bits."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from elir_edge.core.storage import storage_errors, sync
from elir_edge.errors import MORE_MEMORY, NO_MEMORY, OutputError, ResourceError
from elir_edge.imaging.file_formats import FileFormat
from elir_edge.imaging.foreign import encode_bmp, encode_heic
from elir_edge.imaging.jpeg_segments import insert_comments
from elir_edge.imaging.libvips import from_array, load_library, open_descriptor
from elir_edge.imaging.opening import Opened
from elir_edge.imaging.png_chunks import Chunk, insert_chunks, xmp_chunk
from elir_edge.imaging.tiff_exif import add_tiff_exif, with_sides

DEFAULT_QUALITY = 95
KEPT = ("exif-data", "xmp-data", "iptc-data", "icc-profile-data", "resolution-unit")
CARRIED = ("exif-data", "xmp-data", "icc-profile-data", "iptc-data")
LONG_EXIF = 65_300
BIG_TIFF = 3_900_000_000
XMP_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))[2-8]')


@dataclass(frozen=True)
class Layout:
    """What a restored picture has: type of its values, channels, and what is lost on the way into its format."""

    dtype: type
    channels: int
    lost: tuple[str, ...]


def layout_for(opened: Opened, target: FileFormat) -> Layout:
    """The layout of ``opened`` in the format ``target``, with a sentence for everything that the format cannot hold.

    Raises OutputError for a picture with more pixels a side than the format allows.
    """
    name, lost = target.name.upper(), []
    if max(opened.height, opened.width) > target.max_side:
        size = f"{opened.width} x {opened.height} pixels"
        raise OutputError(f"{opened.path}: {size} do not fit into {name}", hint="write a .png (--format png)")
    if opened.alpha and not target.alpha:
        lost.append(f"alpha is blended onto white: {name} holds none")
    if opened.bits > target.bits:
        lost.append(f"{opened.bits} bits a channel become {target.bits}: {name} holds no more")
    deep = opened.bits > 8 and target.bits > 8
    stored = opened.height * opened.width * opened.channels * (2 if deep else 1)
    if target.name == "tiff" and stored > BIG_TIFF and _has(opened.header, "exif-data"):
        lost.append("EXIF dropped: it is not written into TIFF files above 3.9 GB")
    channels = opened.channels - int(opened.alpha and not target.alpha)
    if target.name == "heic" and channels < 3:
        channels += 2
    return Layout(np.uint16 if deep else np.uint8, channels, (*lost, *_lost_beside_pixels(opened, target)))


def _lost_beside_pixels(opened: Opened, target: FileFormat) -> list[str]:
    name, kind, lost = target.name.upper(), opened.kind.upper(), []
    carried = [field for field in CARRIED if _has(opened.header, field)]
    if carried and not target.metadata:
        lost.append(f"{_names(carried)} dropped: {name} holds none")
    if opened.colour.name and target.name not in ("png", "heic") and "icc-profile-data" not in carried:
        lost.append(f"colour description ({opened.colour.name}) dropped: only PNG and HEIC are written with one")
    if opened.texts and target.name != opened.kind:
        lost.append(f"texts of the {kind} dropped: only {kind} keeps them")
    return lost


def save_picture(path: Path, pixels: np.ndarray, target: FileFormat, opened: Opened, quality: int) -> tuple[str, ...]:
    """Write ``pixels``, H x W x channels, to the new file ``path`` and sync it; a sentence for each loss on the way.

    Metadata are those of ``opened``: EXIF with orientation 1 and without its thumbnail. Raises OutputError where
    the format cannot hold the picture, StorageError where the disk is full, UnavailableError without pillow-heif.
    """
    pyvips = load_library()
    lost: tuple[str, ...] = ()
    with storage_errors(path), path.open("x+b") as file:
        if target.name == "bmp":
            file.write(encode_bmp(pixels, (opened.header.xres, opened.header.yres)))
        elif target.name == "heic":
            carried = _metadata_for_heic(pixels, opened)
            file.write(encode_heic(pixels, quality, opened.colour.points, **carried))
            fields = {"exif": "exif-data", "iptc": "iptc-data"}
            missing = [fields[key] for key in fields if _has(opened.header, fields[key]) and key not in carried]
            lost = (f"{_names(missing)} dropped: HEIC does not hold it",) if missing else ()
        else:
            try:
                _save_by_vips(file.fileno(), pixels, target, opened, quality)
            except pyvips.Error as error:
                os.fstat(file.fileno())
                raise _failure(path, str(error)) from error
            if target.name == "tiff" and _has(opened.header, "exif-data"):
                height, width = pixels.shape[:2]
                lost = add_tiff_exif(file, with_sides(opened.header.get("exif-data"), width, height))
            if target.name == "png":
                insert_chunks(file, _chunks_for_png(opened))
            if target.name == opened.kind == "jpeg":
                insert_comments(file, [text for _, text in opened.texts])
            lost += _missing(file, opened.header, target)
        file.flush()
        sync(file.fileno())
    return lost


def _missing(file: BinaryIO, header: Any, target: FileFormat) -> tuple[str, ...]:
    """What the finished ``file`` has not of the metadata in ``header``, as sentences."""
    file.flush()
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    try:
        found = open_descriptor(file.fileno(), sequential=True)
    except load_library().Error:  # written well, and not read by libvips: nothing is known
        return ()
    carried = [field for field in CARRIED if _has(header, field) and (field, target.name) != ("exif-data", "tiff")]
    if "exif-data" in carried and _has(found, "exif-data") and len(header.get("exif-data")) > LONG_EXIF:
        return ("EXIF is above 64 KB: notes of the camera's maker may be cut", *_loss_of(carried, found, target))
    return _loss_of(carried, found, target)


def _loss_of(carried: list[str], found: Any, target: FileFormat) -> tuple[str, ...]:
    fields = [field for field in carried if not _has(found, field)]
    return (f"{_names(fields)} dropped: {target.name.upper()} does not hold it",) if fields else ()


def _names(fields: list[str]) -> str:
    return ", ".join(field.split("-")[0].upper() for field in fields)


def _failure(path: Path, reason: str) -> Exception:
    if "No space left" in reason:
        return OSError(28, "No space left on device", str(path))
    if any(words in reason.lower() for words in NO_MEMORY):
        return ResourceError(f"{path}: not enough memory to write it", hint=MORE_MEMORY)
    return OutputError(f"{path}: cannot be written ({reason.strip().splitlines()[-1]})", hint="use --format png")


def _save_by_vips(descriptor: int, pixels: np.ndarray, target: FileFormat, opened: Opened, quality: int) -> None:
    pyvips = load_library()
    image = _with_metadata(from_array(pixels), opened.header)
    if target.name == "png":
        image.remove("xmp-data")  # libvips compresses it, which hides it from most programs
    image.write_to_target(
        pyvips.Target.new_to_descriptor(descriptor),
        target.suffixes[0],
        **_options(target, pixels, opened.bits, quality),
    )


def _options(target: FileFormat, pixels: np.ndarray, bits: int, quality: int) -> dict[str, Any]:
    options: dict[str, Any] = {"Q": quality} if target.quality else {}
    if target.name == "tiff":
        options = {"compression": "deflate", "predictor": "horizontal", "bigtiff": pixels.nbytes > BIG_TIFF}
    if target.name == "webp":
        options["exact"] = True  # colours under full transparency stay: the next program may need them
    if target.name == "avif":
        options |= {"compression": "av1", "bitdepth": 8 if pixels.dtype == np.uint8 else 10 if bits == 10 else 12}
    return options


def _with_metadata(image: Any, header: Any) -> Any:
    for name in header.get_fields():
        if name in KEPT or (name.startswith("exif-ifd") and not name.startswith("exif-ifd1")):
            image.set_type(header.get_typeof(name), name, header.get(name))
    if _has(image, "xmp-data"):
        image.set_type(header.get_typeof("xmp-data"), "xmp-data", _upright_xmp(header))
    if _has(image, "exif-data"):
        image.set_type(_integer(), "orientation", 1)
    return image.copy(xres=header.xres, yres=header.yres)


def _upright_xmp(header: Any) -> bytes:
    return XMP_ORIENTATION.sub(rb"\g<1>1", header.get("xmp-data"))


def _chunks_for_png(opened: Opened) -> list[Chunk]:
    """What libvips does not write as it should: colours' description, texts, XMP."""
    xmp = [xmp_chunk(_upright_xmp(opened.header))] if _has(opened.header, "xmp-data") else []
    return [*opened.colour.png_chunks(), *opened.texts, *xmp]


def _metadata_for_heic(pixels: np.ndarray, opened: Opened) -> dict[str, bytes]:
    """EXIF as libvips would write it, profile and XMP, for an encoder of another library."""
    header, carried = opened.header, {}
    if _has(header, "xmp-data"):
        carried["xmp"] = _upright_xmp(header)
    if _has(header, "icc-profile-data"):
        carried["icc_profile"] = header.get("icc-profile-data")
    if _has(header, "exif-data"):
        small = _with_metadata(from_array(pixels[:1, :1, :3]), header)
        carrier = load_library().Image.new_from_buffer(small.write_to_buffer(".jpg"), "")
        if _has(carrier, "exif-data"):  # which is that of one pixel
            carried["exif"] = with_sides(carrier.get("exif-data"), pixels.shape[1], pixels.shape[0])
    return carried


def _has(image: Any, name: str) -> bool:
    return bool(image.get_typeof(name))


def _integer() -> int:
    import pyvips

    return int(pyvips.GValue.gint_type)
