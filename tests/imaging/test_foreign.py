"""Rare forms of PPM, PBM and BMP, and of what libvips reads: kept, or refused by their names."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

from elir_edge.errors import DataError
from elir_edge.imaging.libvips import libvips_errors, load_library
from elir_edge.imaging.opening import open_picture
from tests.helpers import refusal
from tests.imaging.files import profile, random_pixels, read_png, restore_file


@pytest.mark.parametrize("most", [1023, 65535])
def test_ppm_of_16_bits_as_text(most, tmp_path):
    values = np.random.default_rng(0).integers(0, most + 1, (6, 5, 3))
    words = " ".join(map(str, values.reshape(-1)))
    (tmp_path / "in.ppm").write_text(f"P3\n5 6 # by hand\n{most}\n# and here\n{words}\n")
    assert restore_file(tmp_path / "in.ppm", tmp_path / "out.png").lost == ()
    assert np.array_equal(read_png(tmp_path / "out.png"), np.rint(values * (65535 / most)))
    for rest in (words.rpartition(" ")[0], words.replace(" ", " x ", 1)):
        (tmp_path / "in.ppm").write_text(f"P3\n5 6\n{most}\n{rest}\n")
        refusal(DataError, lambda: open_picture(tmp_path / "in.ppm"), "in.ppm", "cut short")


@pytest.mark.parametrize("ending", ["ppm", "bmp"])
def test_black_and_white_stays_grey(ending, tmp_path):
    Image.fromarray(random_pixels(1, 8) > 99).save(tmp_path / f"in.{ending}")
    restore_file(tmp_path / f"in.{ending}", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as out:
        assert out.mode == "L"
        assert np.array_equal(np.asarray(out) > 0, random_pixels(1, 8) > 99)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_second_ppm_in_the_file_is_refused(channels, tmp_path):
    Image.fromarray(random_pixels(channels, 8)).save(tmp_path / "in.ppm")
    one = (tmp_path / "in.ppm").read_bytes()
    (tmp_path / "in.ppm").write_bytes(one + b"\n")
    open_picture(tmp_path / "in.ppm").close()
    (tmp_path / "in.ppm").write_bytes(one + one)
    refusal(DataError, lambda: open_picture(tmp_path / "in.ppm"), "in.ppm", "several pictures")


@pytest.mark.parametrize("ending", ["bmp", "png", "tif"])
def test_the_resolution_of_a_bmp(ending, tmp_path):
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.bmp", dpi=(300, 300))
    restore_file(tmp_path / "in.bmp", tmp_path / f"out.{ending}")
    with Image.open(tmp_path / f"out.{ending}") as out:
        assert np.allclose([float(dots) for dots in out.info["dpi"]], 300, atol=0.1)


@pytest.mark.parametrize("kind", ["Lab", "cut"])
def test_profiles_that_are_none_of_rgb_convert_nothing(kind, tmp_path):
    data = profile()[:60] if kind == "cut" else ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    data = data[:36] + b"none" + data[40:] if kind == "cut" else data
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.tif", icc_profile=data)
    lost = restore_file(tmp_path / "in.tif", tmp_path / "out.png", profile="srgb").lost
    assert any("colours stay as they are" in text for text in lost) and "converted to sRGB" not in lost
    assert np.array_equal(read_png(tmp_path / "out.png"), random_pixels(3, 8))


def test_a_compression_that_libvips_lacks_is_no_damage():
    def refuse():
        with libvips_errors("a.tif"):
            raise load_library().Error("unable to call", "tiff2vips: ZSTD compression support is not configured")

    refusal(DataError, refuse, "a.tif", "compression is not read", "LZW or deflate")
