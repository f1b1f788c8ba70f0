"""What a .onnx file says of itself, read without the package onnx: metadata, and whether weights lie in other files.

Kept in place of the package onnx, which a device that only runs artifacts does not have; protobuf's own reader needs
generated classes. Lengths are checked against what is there, and weights are stepped over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from elir_edge.errors import DataError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
SIZES = {FIXED64: 8, FIXED32: 4}
EXTERNAL = 1
MAX_DEPTH = 32
MAX_VARINT_BYTES = 10
METADATA, KEY, VALUE = 14, 1, 2  # of ModelProto, of its entries
DATA_LOCATION, EXTERNAL_DATA = 14, 13  # of TensorProto
# Which fields of which messages lead to a tensor.
WAYS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
}
Field = tuple[int, int | memoryview]  # number, and the value


def refuse_external_data(path: Path) -> None:
    """Raise DataError where a tensor of the .onnx file is kept in another file, or the file is damaged."""
    try:
        elsewhere = _leads_elsewhere(memoryview(path.read_bytes()), "model", 0)
    except ValueError as error:
        raise _damage_error(path, error) from error
    if elsewhere:
        raise DataError(
            f"{path}: keeps its weights in other files",
            hint="artifacts are single files, so that their hash covers all of them: export it again as one file",
        )


def read_metadata(path: Path, key: str) -> str | None:
    """The text under ``key`` in the metadata of the .onnx file; None where there is none. Raises DataError."""
    try:
        for number, value in _fields(memoryview(path.read_bytes())):
            if number == METADATA and isinstance(value, memoryview):
                entry = dict(_fields(value))
                if _text(entry.get(KEY)) == key:
                    return _text(entry.get(VALUE))
    except ValueError as error:
        raise _damage_error(path, error) from error
    return None


def _leads_elsewhere(message: memoryview, kind: str, depth: int) -> bool:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    for number, value in _fields(message):
        if kind == "tensor":
            if number == EXTERNAL_DATA or (number == DATA_LOCATION and value == EXTERNAL):
                return True
            continue
        way = WAYS[kind].get(number)
        if way and isinstance(value, memoryview) and _leads_elsewhere(value, way, depth + 1):
            return True
    return False


def _fields(message: memoryview) -> Iterator[Field]:
    """Number and value of each field; fixed-size numbers are given as their bytes. Raises ValueError for damage."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size, at = _varint(message, at) if kind == BYTES else (SIZES.get(kind, -1), at)
        if size < 0 or at + size > len(message):
            raise ValueError(f"field {number} is of no known kind, or ends beyond what holds it")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + MAX_VARINT_BYTES]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a number does not end")


def _text(value: int | memoryview | None) -> str | None:
    return bytes(value).decode(errors="replace") if isinstance(value, memoryview) else None


def _damage_error(path: Path, error: ValueError) -> DataError:
    return DataError(f"{path}: damaged .onnx file ({error})", hint="copy it again, or export it again")
