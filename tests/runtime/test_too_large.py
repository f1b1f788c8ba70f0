"""Pictures that memory does not hold: refused by name, from their headers where these tell it, and alone."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elir_edge.errors import DataError, ResourceError
from elir_edge.imaging.levels import from_levels
from elir_edge.imaging.libvips import libvips_errors, load_library
from elir_edge.imaging.opening import open_picture
from tests.helpers import refusal, save_picture
from tests.imaging.files import random_pixels, write_png
from tests.runtime.folders import run_folder


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        save_picture(tmp_path / "in" / name, seed=i)
    return tmp_path / "in"


def write_claim(path: Path, width: int, height: int, data: bytes) -> None:
    """A PNG of 8-bit RGB whose header states more than its ``data`` are."""
    head = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    whole = [struct.pack(">L", len(d)) + kind + d + struct.pack(">L", zlib.crc32(kind + d)) for kind, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(whole))


def test_a_png_that_cannot_hold_its_pixels_is_refused_before_decoding(folder, tmp_path):
    write_claim(folder / "b.png", 40_000, 40_000, bytes(120_001 * 90))
    began = time.process_time()
    first, bad, last = run_folder(folder, tmp_path / "out")
    assert time.process_time() - began < 1
    assert (first.error, last.error) == (None, None)
    assert isinstance(bad.failure, DataError)
    assert "b.png" in bad.error and "cannot hold 40000 x 40000 pixels" in bad.error


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_packs_best_is_no_claim(channels, bits, tmp_path):
    """Black, of all kinds: deflate reaches its bound. 1 bit a pixel too, where a byte holds eight."""
    write_png(tmp_path / "in.png", np.zeros_like(random_pixels(channels, bits, 900, 1200)))
    Image.new("1", (9000, 9000)).save(tmp_path / "bits.png", compress_level=9)
    for name in ("in.png", "bits.png"):
        open_picture(tmp_path / name).close()


def test_a_picture_without_room_is_refused_by_name_and_need(folder, tmp_path, monkeypatch):
    save_picture(folder / "b.png", 1000, 1100)
    monkeypatch.setattr("elir_edge.imaging.limits.memory_room", lambda: 2**20)
    first, bad, last = run_folder(folder, tmp_path / "out")
    assert (first.error, last.error, bad.exit_code) == (None, None, ResourceError.exit_code)
    assert "b.png: not enough memory: 1100 x 1000 pixels need 3 MiB and more" in bad.error


def test_memory_that_runs_out_on_the_way_stops_that_picture_only(folder, tmp_path, monkeypatch):
    Image.new("RGB", (40, 40)).save(folder / "b.png")

    def run_out(rows, dtype):
        if not rows.any():
            raise MemoryError
        return from_levels(rows, dtype)

    monkeypatch.setattr("elir_edge.runtime.work.from_levels", run_out)
    first, bad, last = run_folder(folder, tmp_path / "out")
    assert (first.error, last.error, bad.exit_code) == (None, None, ResourceError.exit_code)
    assert "b.png: not enough memory" in bad.error


def test_libvips_without_memory_says_nothing_about_damage():
    def run_out():
        with libvips_errors("a.png"):
            raise load_library().Error("vips_tracked", "out of memory --- size == 5MB")

    refusal(ResourceError, run_out, "a.png", "not enough memory")
