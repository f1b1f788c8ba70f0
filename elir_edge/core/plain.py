"""Plain facts about data and packages that several parts ask for; imports nothing heavy."""

from __future__ import annotations

import math
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def finite(data: Any) -> Any:
    """``data`` for JSON, which knows no infinity: a float that is none, such as what could not be compared, is null."""
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, None where it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
