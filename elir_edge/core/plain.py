"""Small helpers about data and packages; imports nothing heavy."""

from __future__ import annotations

import math
import re
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral
from typing import Any

MAX_DIGITS = 19


def finite(data: Any) -> Any:
    """``data`` with None in place of NaN and infinite floats, which JSON does not have."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def is_integer(value: object) -> bool:
    """Whether ``value`` is an integer, also one of NumPy, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def whole_number(text: str) -> int | None:
    """The number that ``text`` is in decimal digits; None for other texts, and for numbers of more than 19 digits.

    No option has more, and ``int`` raises ValueError for texts of thousands.
    """
    return int(text) if len(text) <= MAX_DIGITS and text.isdecimal() else None


def identifier_of(name: str) -> str:
    """A name as an identifier for C, Kotlin, CMake and Android: a-z, 0-9 and _, starting with a letter."""
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return words if words[:1].isalpha() else f"model_{words}".rstrip("_")
