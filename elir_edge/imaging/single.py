"""Files of several pictures, which are refused: told before any pixel is decoded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from elir_edge.errors import DataError

ONLY_SINGLE = "save one page or frame as a picture of its own"


def refuse_several(image: Any, path: Path, kind: str) -> None:
    """Raise DataError for an image of libvips with several pages or frames."""
    pages = image.get("n-pages") if image.get_typeof("n-pages") and kind != "avif" else 1
    if pages > 1:
        raise DataError(f"{path}: {pages} pages or frames; only single pictures are read", hint=ONLY_SINGLE)


def refuse_animation(path: Path, kind: str) -> None:
    """Raise DataError for an AVIF whose brand is that of sequences, and a PNG with the chunk acTL before its pixels."""
    with path.open("rb") as file:
        animated = kind == "avif" and file.read(12)[8:] == b"avis"
        file.seek(8)
        while kind == "png" and len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"acTL"):
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
        animated = animated or (kind == "png" and head[4:] == b"acTL")
    if animated:
        raise DataError(f"{path}: an animated {kind.upper()}; only single pictures are read", hint=ONLY_SINGLE)
