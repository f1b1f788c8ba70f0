"""Filling in the templates: text files in which @{name} stands for a value."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from importlib import resources


class _Template(string.Template):
    """Only @{name} is special: C, CMake, Kotlin and shell have their own uses for everything else."""

    pattern = r"@\{(?P<braced>[a-z0-9_]+)\}|(?P<escaped>(?!))|(?P<named>(?!))|(?P<invalid>(?!))"


def render(template: str, values: Mapping[str, object]) -> bytes:
    """The file ``templates/<template>`` with every @{name} replaced. Raises KeyError for a name without a value."""
    text = (resources.files("elir_edge.packaging") / "templates" / template).read_text(encoding="utf-8")
    return _Template(text).substitute(values).encode()


def c_string(text: str) -> str:
    """``text`` as a C string literal: ASCII, nothing in it can end the literal or begin a trigraph."""
    return '"' + "".join(_c_character(byte) for byte in text.encode()) + '"'


def kotlin_string(text: str) -> str:
    """``text`` as a Kotlin string literal: ASCII, without templates."""
    units = text.encode("utf-16-be")
    pairs = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return '"' + "".join(_kotlin_character(unit) for unit in pairs) + '"'


def one_line(text: object) -> str:
    """``text`` for a comment or a table: one line of printable characters that ends neither."""
    line = " ".join(str(text).split())
    return re.sub(r"[^\w .,:;()+=\[\]{}/'-]", "_", line).replace("*/", "_").replace("//", "_")


def _c_character(byte: int) -> str:
    plain = chr(byte).isalnum() and byte < 128 or chr(byte) in " .,:;()+=-_/"
    return chr(byte) if plain else f"\\{byte:03o}"


def _kotlin_character(unit: int) -> str:
    plain = unit < 128 and (chr(unit).isalnum() or chr(unit) in " .,:;()+=-_/")
    return chr(unit) if plain else f"\\u{unit:04x}"
