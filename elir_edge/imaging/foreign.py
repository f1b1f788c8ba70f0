"""Picture files that libvips' wheels do not read: BMP and PPM by Pillow, HEIC by pillow-heif, camera raw by rawpy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.errors import DataError, missing_package
from elir_edge.imaging.colour_points import NO_COLOUR, Colour, Points
from elir_edge.imaging.limits import refuse_too_large

MM_PER_INCH = 25.4
_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
PPM = re.compile(
    rb"P(?P<kind>[356])"
    + _GAP
    + rb"(?P<width>\d{1,9})"
    + _GAP
    + rb"(?P<height>\d{1,9})"
    + _GAP
    + rb"(?P<most>\d{1,9})\s"
)


@dataclass(frozen=True)
class Decoded:
    """A whole picture: H x W x channels, uint8 or uint16, upright; what came with it; what was done to it.

    ``resolution``: pixels by mm, across and down.
    """

    pixels: np.ndarray
    bits: int
    exif: bytes = b""
    profile: bytes = b""
    xmp: bytes = b""
    notes: tuple[str, ...] = ()
    colour: Colour = NO_COLOUR
    resolution: tuple[float, ...] | None = None


def decode(kind: str, path: Path) -> Decoded:
    """The picture at ``path``. Raises DataError for a damaged one, UnavailableError where the package is missing."""
    return {"bmp": _read_with_pillow, "ppm": _read_with_pillow, "heic": _read_heic, "raw": _read_raw}[kind](path)


def _read_with_pillow(path: Path) -> Decoded:
    from PIL import Image

    deep_colour = _read_deep_ppm(path)
    if deep_colour is not None:
        return Decoded(deep_colour, 16)
    resolution = None
    try:
        with Image.open(path, formats=("BMP", "PPM")) as image:
            deep = image.mode.startswith("I")
            grey = image.mode in ("1", "L")
            pixels = np.asarray(image) if deep else np.asarray(image.convert("L" if grey else "RGB"))
            if "dpi" in image.info:
                resolution = tuple(float(dots) / MM_PER_INCH for dots in image.info["dpi"])
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: damaged or cut short ({error})", hint="copy it again, or leave it out") from error
    pixels = pixels if pixels.ndim > 2 else pixels[..., None]
    return Decoded(pixels.astype(np.uint16 if deep else np.uint8), 16 if deep else 8, resolution=resolution)


def _read_deep_ppm(path: Path) -> np.ndarray | None:
    """The pixels of a PPM of more than 8 bits, which Pillow rounds to 8; None for any other file.

    The header is P3 (text) or P6 (binary), width, height and largest value, in text between white space, with comments
    from # to the line's end (the Netpbm project's ppm(5)). Raises DataError for a file of several pictures.
    """
    with path.open("rb") as file:
        found = PPM.match(file.read(4096))
    if found is None:
        return None
    if found["kind"] != b"3":
        _refuse_second_ppm(path, found)
    if found["kind"] == b"5" or not 255 < int(found["most"]) < 65536:
        return None
    width, height, most = (int(found[name]) for name in ("width", "height", "most"))
    if not width or not height:
        return None  # whose refusal is Pillow's
    refuse_too_large(path, width, height)
    count = 3 * width * height
    if found["kind"] == b"3":
        values = _numbers(path, found.end(), count)
    else:
        values = np.fromfile(path, ">u2", count, offset=found.end())
    if len(values) < count:
        raise DataError(f"{path}: damaged or cut short", hint="copy it again, or leave it out")
    values = values.reshape(height, width, 3)
    levels = np.rint(np.arange(most + 1) * (65535 / most)).astype(np.uint16)
    return levels[np.minimum(values, most)]


def _numbers(path: Path, start: int, count: int) -> np.ndarray:
    """The first ``count`` numbers of the text behind ``start``, uint16; fewer where there are no more."""
    words = re.sub(rb"#[^\n\r]*", b"", path.read_bytes()[start:]).split(maxsplit=count)[:count]
    try:
        return np.array(words, "S9").astype(np.int64).clip(0, 65535).astype(np.uint16)
    except ValueError:
        return np.empty(0, np.uint16)


def _refuse_second_ppm(path: Path, found: re.Match[bytes]) -> None:
    channels = 3 if found["kind"] == b"6" else 1
    size = int(found["width"]) * int(found["height"]) * channels * (1 if int(found["most"]) < 256 else 2)
    if found.end() + size >= path.stat().st_size:
        return
    with path.open("rb") as file:
        file.seek(found.end() + size)
        behind = file.read(16).lstrip()
    if behind[:1] == b"P" and behind[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6", b"7"):
        raise DataError(f"{path}: several pictures; only single ones are read", hint="save each as a file of its own")


def _read_heic(path: Path) -> Decoded:
    try:
        import pillow_heif
    except ImportError as error:
        raise missing_package("pillow-heif", "heif") from error
    try:
        file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
        count, picture = len(file), file[file.primary_index]
        pixels = np.array(picture) if count == 1 else np.empty(0)
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError) as error:
        raise DataError(f"{path}: damaged or cut short ({error})", hint="copy it again, or leave it out") from error
    if count > 1:
        raise DataError(f"{path}: {count} pictures; only single ones are read", hint="save each as a file of its own")
    pixels = pixels if pixels.ndim > 2 else pixels[..., None]
    info: dict[str, Any] = picture.info
    more = len(info.get("depth_images") or []) + len(info.get("aux") or {})
    notes = ("depth and auxiliary pictures are dropped",) if more else ()
    exif, profile, xmp = (info.get(name) or b"" for name in ("exif", "icc_profile", "xmp"))
    stated = info.get("nclx_profile")
    colour = Colour((stated["color_primaries"], stated["transfer_characteristics"]) if stated else None)
    return Decoded(pixels, int(info.get("bit_depth", 8)), exif, profile, xmp, notes, colour)


def _read_raw(path: Path) -> Decoded:
    try:
        import rawpy
    except ImportError as error:
        raise missing_package("rawpy", "raw") from error
    try:
        with rawpy.imread(str(path)) as raw:
            pixels = raw.postprocess(use_camera_wb=True, output_bps=16, no_auto_bright=True)
    except (rawpy.LibRawError, OSError, ValueError) as error:
        raise DataError(
            f"{path}: LibRaw cannot develop it ({error})", hint="save it as .tif or .png with a raw converter"
        ) from error
    notes = ("developed by LibRaw with the camera's white balance, to sRGB", "EXIF is dropped: LibRaw gives none")
    return Decoded(pixels, 16, notes=notes)


def encode_bmp(pixels: np.ndarray, resolution: tuple[float, float]) -> bytes:
    """A BMP file of uint8 H x W x 1 or 3; ``resolution`` in pixels by mm, (1, 1) where none is known."""
    import io

    from PIL import Image

    encoded = io.BytesIO()
    known = resolution != (1.0, 1.0)
    options = {"dpi": tuple(dots * MM_PER_INCH for dots in resolution)} if known else {}
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(encoded, "BMP", **options)
    return encoded.getvalue()


def encode_heic(pixels: np.ndarray, quality: int, points: Points | None, **carried: bytes) -> bytes:
    """A HEIC file of uint8 or uint16 H x W x 3 or 4 (16 bits become 10). Raises UnavailableError.

    ``points``: of the colours, (primaries, transfer characteristics). ``carried``: exif, icc_profile, xmp; empty
    ones are left out.
    """
    import io

    try:
        import pillow_heif
    except ImportError as error:
        raise missing_package("pillow-heif", "heif") from error
    mode = ("RGB" if pixels.shape[2] == 3 else "RGBA") + (";16" if pixels.dtype == np.uint16 else "")
    picture = pillow_heif.from_bytes(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())
    encoded = io.BytesIO()
    options: dict[str, Any] = {name: data for name, data in carried.items() if data}
    if points is not None:
        options |= {"color_primaries": points[0], "transfer_characteristics": points[1]}
    picture.save(encoded, quality=quality, chroma=444, **options)
    return encoded.getvalue()
