"""Colours of a picture file as grey or RGB of 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elir_edge.errors import DataError

OTHER_COLOURS = ("lab", "labs", "xyz", "yxy", "hsv", "lch")
MANY = 3
TO_SRGB = "converted to sRGB"


def to_rgb(image: Any, path: Path, profile: str) -> tuple[Any, tuple[str, ...]]:
    """``image`` as grey or RGB of 8 or 16 bits, itself where it is that, and what that cost.

    Raises DataError for floating point and 32 bits, and for more channels than RGB, CMYK and alpha have.
    """
    if image.interpretation in OTHER_COLOURS:
        deep = image.format != "uchar"
        return image.colourspace("rgb16" if deep else "srgb"), (f"{image.interpretation} is converted to sRGB",)
    if image.format not in ("uchar", "ushort"):
        raise DataError(
            f"{path}: {_words(image.format)} pixels, whose range is not known", hint="save it with 8 or 16 bits"
        )
    depth = 16 if image.format == "ushort" else 8
    embedded = bool(image.get_typeof("icc-profile-data"))
    if image.interpretation == "cmyk":
        converted = image.icc_transform("srgb", embedded=embedded, input_profile="cmyk", depth=depth)
        return converted, ("CMYK is converted to sRGB, its profile dropped",)
    if image.bands > 4:
        raise DataError(
            f"{path}: {image.bands} channels; only grey, RGB, CMYK and alpha are read", hint="save it as RGB"
        )
    if profile == "srgb" and embedded:
        if image.bands < MANY:
            return image, ("a grey picture keeps its colour profile",)
        if not _is_profile_of_rgb(image.get("icc-profile-data")):
            return image, ("the colour profile is damaged, or not one of RGB: colours stay as they are",)
        return image.icc_transform("srgb", embedded=True, intent="perceptual", depth=depth), (TO_SRGB,)
    return image, ()


def _is_profile_of_rgb(profile: bytes) -> bool:
    """By the header of ICC.1: the space of its colours at byte 16, its signature at byte 36."""
    return profile[16:20] == b"RGB " and profile[36:40] == b"acsp"


def _words(format_: str) -> str:
    return {"float": "floating point", "double": "floating point"}.get(format_, f"'{format_}'")
