"""Files of several pictures, which are refused: told before any pixel is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elir_edge.errors import DataError
from elir_edge.imaging.png_chunks import PIXELS, walk_chunks

ONLY_SINGLE = "save one page or frame as a picture of its own"


def refuse_several(image: Any, path: Path, kind: str) -> None:
    """Raise DataError for an image of libvips with several pages or frames."""
    pages = image.get("n-pages") if image.get_typeof("n-pages") and kind != "avif" else 1
    if pages > 1:
        raise DataError(f"{path}: {pages} pages or frames; only single pictures are read", hint=ONLY_SINGLE)


def refuse_animation(path: Path, kind: str) -> None:
    """Raise DataError for an AVIF whose brand is that of sequences, and a PNG with the chunk acTL before its pixels."""
    with path.open("rb") as file:
        if kind == "png":
            first = next((name for name, *_ in walk_chunks(file) if name in (PIXELS, b"acTL")), PIXELS)
            animated = first != PIXELS
        else:
            animated = kind == "avif" and file.read(12)[8:] == b"avis"
    if animated:
        raise DataError(f"{path}: an animated {kind.upper()}; only single pictures are read", hint=ONLY_SINGLE)
