"""Frames without any header: RGB bytes one after the other, as programs pass video to each other through pipes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from elir_edge.errors import DataError, UsageError

CHANNELS = 3


def parse_raw_size(text: str) -> tuple[int, int]:
    """(height, width) of ``WIDTHxHEIGHT``. Raises UsageError for any other text."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(
            f"--raw {text} is not WIDTHxHEIGHT in pixels, such as 640x480", hint="write width and height of a frame"
        )
    return int(height), int(width)


def read_frames(stream: BinaryIO, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Frames of ``stream`` until it ends, uint8 height x width x 3.

    Raises DataError where it ends inside a frame.
    """
    height, width = size
    length = height * width * CHANNELS
    while data := _read(stream, length):
        if len(data) < length:
            raise DataError(
                f"the stream ended after {len(data)} of the {length} bytes of a frame of {width} x {height}",
                hint="check the size given with --raw, and that frames are RGB bytes",
            )
        yield np.frombuffer(data, np.uint8).reshape(height, width, CHANNELS)


def _read(stream: BinaryIO, length: int) -> bytes:
    """``length`` bytes, or as many as come before the end: a pipe gives fewer at a time."""
    parts, missing = [], length
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
