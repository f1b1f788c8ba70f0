"""Arrays into picture files: what each format holds, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from elir_edge.errors import OutputError, UsageError
from elir_edge.imaging.opening import open_picture
from elir_edge.imaging.pictures import write_picture
from tests.helpers import refusal
from tests.imaging.files import random_pixels


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_every_array_that_a_result_can_be_is_written(ending, channels, bits, tmp_path):
    pixels = random_pixels(channels, bits)
    write_picture(tmp_path / f"a.{ending}", pixels)
    with open_picture(tmp_path / f"a.{ending}") as found:
        assert np.array_equal(found.read(0, 40).squeeze(), pixels)


@pytest.mark.parametrize("ending, pixels, said", [
    ("jpg", random_pixels(4, 8), "alpha"), ("bmp", random_pixels(2, 8), "alpha"),
    ("webp", random_pixels(3, 16), "16 bits"),
])  # fmt: skip
def test_arrays_that_a_format_does_not_hold_are_refused(ending, pixels, said, tmp_path):
    refusal(OutputError, lambda: write_picture(tmp_path / f"a.{ending}", pixels), f"a.{ending}", said, ".png")
    refusal(UsageError, lambda: write_picture(tmp_path / "a.png", pixels / 2), "uint8 or uint16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.exe", "a.eps"])
def test_endings_that_are_not_written(name, tmp_path):
    refusal(UsageError, lambda: write_picture(tmp_path / name, np.zeros((2, 2, 3), np.uint8)), name, "known: .png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.webp", "a.jpg"])
def test_pictures_too_wide_for_their_format(name, tmp_path):
    refusal(OutputError, lambda: write_picture(tmp_path / name, np.zeros((1, 70_000, 3), np.uint8)), name, ".png")
    assert list(tmp_path.iterdir()) == []
