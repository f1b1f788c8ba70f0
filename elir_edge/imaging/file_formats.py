"""The formats of picture files: what each can hold, told by the content of a file or by the ending of a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elir_edge.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class FileFormat:
    """A format that pictures are written in.

    Args:
        name: as ``--format`` takes it. suffixes: the first is given to new files. bits: most bits of a channel.
        alpha: whether it holds alpha. metadata: whether it holds EXIF and profiles. quality: whether it is lossy.
        max_side: most pixels a side.
    """

    name: str
    suffixes: tuple[str, ...]
    bits: int = 8
    alpha: bool = False
    metadata: bool = True
    quality: bool = False
    max_side: int = 2**31 - 1


FORMATS = (
    FileFormat("png", (".png",), bits=16, alpha=True),
    FileFormat("jpeg", (".jpg", ".jpeg"), quality=True, max_side=65_500),
    FileFormat("webp", (".webp",), alpha=True, quality=True, max_side=16_383),
    FileFormat("tiff", (".tif", ".tiff"), bits=16, alpha=True),
    FileFormat("avif", (".avif",), bits=12, alpha=True, quality=True, max_side=16_384),
    FileFormat("heic", (".heic", ".heif"), bits=10, alpha=True, quality=True, max_side=16_384),
    FileFormat("bmp", (".bmp",), metadata=False),
)
RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw", ".raw")
ONLY_READ = {".ppm": "png", ".pgm": "png", ".pnm": "png", **dict.fromkeys(RAW_SUFFIXES, "tiff")}
PICTURE_SUFFIXES = (*(suffix for known in FORMATS for suffix in known.suffixes), *ONLY_READ)
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1")
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
STARTS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"BM": "bmp", **dict.fromkeys(TIFF_MARKS, "tiff")}


def format_named(name: str) -> FileFormat:
    """The format of ``--format``; ``jpg`` and ``tif`` count too. Raises UsageError for any other name."""
    known = {known.name: known for known in FORMATS}
    known |= {suffix[1:]: found for found in FORMATS for suffix in found.suffixes}
    if name.lower() not in known:
        raise UsageError(f"there is no picture format '{name}'", hint=did_you_mean(name, known))
    return known[name.lower()]


def format_of_target(path: Path) -> FileFormat:
    """The format for the ending of a file to write. Raises UsageError for an unknown ending."""
    for known in FORMATS:
        if path.suffix.lower() in known.suffixes:
            return known
    endings = ", ".join(suffix for known in FORMATS for suffix in known.suffixes)
    raise UsageError(f"{path}: cannot write '{path.suffix.lower()}' pictures", hint=f"known: {endings}")


def target_suffix(source: Path, name: str | None) -> str:
    """The ending of what a picture is restored to: the source's own, or that of the format ``name``.

    What is only read becomes PNG (PPM, PGM) or TIFF of 16 bits (camera raw); an unknown ending becomes PNG.
    """
    suffix = source.suffix.lower()
    if name is not None:
        chosen = format_named(name)
        return source.suffix if suffix in chosen.suffixes else chosen.suffixes[0]
    if suffix in ONLY_READ:
        return format_named(ONLY_READ[suffix]).suffixes[0]
    return source.suffix if any(suffix in known.suffixes for known in FORMATS) else ".png"


def kind_of(path: Path) -> str | None:
    """What the content of a file is: a format's name, ``ppm`` or ``raw``; None where it is no known picture.

    Raises OSError where it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(32)
    if path.suffix.lower() in RAW_SUFFIXES and start:
        return "raw"
    for mark, name in STARTS.items():
        if start.startswith(mark):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "webp"
    if start[4:8] == b"ftyp":
        brands = start[8:12], start[16:20], start[20:24]
        return "avif" if b"avif" in brands else "heic" if start[8:12] in HEIC_BRANDS else None
    return "ppm" if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace() else None
