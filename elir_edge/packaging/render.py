"""Fill in the templates of a package, and quote text for C and Kotlin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

import numpy as np

from elir_edge.core.template import fill_all

PLAIN = re.compile(r"[A-Za-z0-9 .,:;()+=_/-]")


def render(templates: Mapping[str, str], values: Mapping[str, object]) -> dict[str, bytes]:
    """The files of a package by name. ``templates``: the template of each file; all of them share ``values``.

    Raises ValueError for a placeholder without a value, and for a value that no template uses.
    """
    folder = resources.files("elir_edge.packaging") / "templates"
    texts = {file: (folder / template).read_text(encoding="utf-8") for file, template in templates.items()}
    return {file: text.encode() for file, text in fill_all(texts, values).items()}


def c_string(text: str) -> str:
    """``text`` as a C string literal in ASCII. No character of it can end the literal or start a trigraph."""
    characters = (chr(byte) if PLAIN.match(chr(byte)) else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(characters)}"'


def kotlin_string(text: str) -> str:
    """``text`` as a Kotlin string literal in ASCII, with ``$`` escaped."""
    units = np.frombuffer(text.encode("utf-16-le"), "<u2")
    characters = (chr(unit) if PLAIN.match(chr(unit)) else f"\\u{unit:04x}" for unit in units)
    return f'"{"".join(characters)}"'


def float_digits(value: float) -> str:
    """``value`` with the 9 digits that identify a 32-bit float, and the point or exponent that C and Kotlin require."""
    digits = f"{float(np.float32(value)):.9g}"
    return digits if "." in digits or "e" in digits else f"{digits}.0"


def one_line(text: object) -> str:
    """``text`` as one line whose characters can end neither a comment nor a cell of a table."""
    line = " ".join(str(text).split())
    return re.sub(r"[^\w .,:;()+=\[\]{}/'-]", "_", line)
