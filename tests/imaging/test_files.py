"""Formats x bit depths x alpha x profile x orientation: what goes into a restoration and what comes out.

The files are written and read by Pillow, tifffile, pillow-heif and zlib, never by what is under test. The model is an
identity: every difference is the files'.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from elir_edge.imaging.opening import open_picture
from tests.imaging.files import (
    DATE,
    MAKE,
    ORIENTATION,
    TAKEN,
    exif,
    profile,
    random_pixels,
    read_png,
    restore_file,
    swapped_profile,
    write_png,
)

TURNED = {1: "abcdef", 2: "cbafed", 3: "fedcba", 4: "defabc", 5: "adbecf", 6: "daebfc", 7: "fcebda", 8: "cfbead"}


# ---- what is kept exactly -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_keeps_every_bit_and_channel(channels, bits, tmp_path):
    pixels = random_pixels(channels, bits)
    write_png(tmp_path / "in.png", pixels)
    assert restore_file(tmp_path / "in.png", tmp_path / "out.png").lost == ()
    assert np.array_equal(read_png(tmp_path / "out.png").squeeze(), pixels)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_keeps_every_bit_and_channel(channels, bits, compression, tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pixels = random_pixels(channels, bits)
    photometric = "minisblack" if channels == 1 else "rgb"
    more = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric=photometric, compression=compression, **more)
    assert restore_file(tmp_path / "in.tif", tmp_path / "out.tif").lost == ()
    with tifffile.TiffFile(tmp_path / "out.tif") as found:
        import elir_edge.imaging.libvips as libvips

        assert (found.pages[0].bitspersample, found.pages[0].samplesperpixel) == (bits, channels)
        image = libvips.open_descriptor(found.filehandle.fileno(), False)
    assert np.array_equal(image.numpy().squeeze(), pixels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_keeps_alpha_and_nearly_its_colours(mode, tmp_path):
    smooth = np.linspace(0, 255, 40 * 30 * len(mode)).reshape(40, 30, len(mode)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "in.webp", lossless=True, exact=True)
    restore_file(tmp_path / "in.webp", tmp_path / "out.webp", quality=100)
    with Image.open(tmp_path / "out.webp") as out:
        assert (out.format, out.mode, out.size) == ("WEBP", mode, (30, 40))
        assert np.abs(np.asarray(out)[..., :3].astype(int) - smooth[..., :3]).max() <= 8
        assert mode == "RGB" or np.array_equal(np.asarray(out)[..., 3], smooth[..., 3])


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_keeps_its_depth(bits, tmp_path):
    pixels = np.repeat(np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(64, 48, 1), 3, 2)
    from elir_edge.imaging.libvips import from_array

    given = pixels if bits > 8 else (pixels >> 8).astype(np.uint8)
    from_array(given).write_to_file(str(tmp_path / "in.avif"), Q=100, bitdepth=bits, compression="av1")
    with open_picture(tmp_path / "in.avif") as before:
        assert before.bits == bits
    assert restore_file(tmp_path / "in.avif", tmp_path / "out.avif", quality=100).lost == ()
    with open_picture(tmp_path / "out.avif") as after:
        assert after.bits == bits
        assert np.abs(after.read(0, 64).astype(int) - given).max() <= (3 if bits == 8 else 3 * 2 ** (16 - bits))


# ---- what comes with the pixels -------------------------------------------------------------------------------------

CARRIERS = ("jpg", "png", "webp", "tif", "avif")


@pytest.mark.parametrize("ending", CARRIERS)
@pytest.mark.parametrize("to", CARRIERS)
def test_exif_and_profile_travel_from_any_format_to_any(ending, to, tmp_path):
    pixels = Image.fromarray(random_pixels(3, 8))
    pixels.save(tmp_path / f"in.{ending}", exif=exif(), icc_profile=profile())
    result = restore_file(tmp_path / f"in.{ending}", tmp_path / f"out.{to}")
    assert result.lost == ()
    with Image.open(tmp_path / f"out.{to}") as out:
        found = out.getexif()
        assert found.get(MAKE) == "Maker"
        assert found.get_ifd(0x8769).get(DATE) == TAKEN
        assert found.get(ORIENTATION, 1) == 1
        assert out.info["icc_profile"] == profile()


@pytest.mark.parametrize("ending", CARRIERS)
@pytest.mark.parametrize("orientation", TURNED)
def test_orientation_is_applied_and_reset(orientation, ending, tmp_path):
    letters = np.frombuffer(b"abcdef", np.uint8).reshape(2, 3)
    big = np.kron(letters, np.ones((16, 16), np.uint8))
    Image.fromarray(np.repeat(big[..., None], 3, 2)).save(
        tmp_path / f"in.{ending}",
        exif=exif(orientation),
        **({"quality": 100} if ending in ("jpg", "webp", "avif") else {}),
    )
    restore_file(tmp_path / f"in.{ending}", tmp_path / f"out.{ending}", quality=100)
    with Image.open(tmp_path / f"out.{ending}") as out:
        assert out.getexif().get(ORIENTATION, 1) == 1
        cells = np.asarray(out.convert("L"))[8::16, 8::16]
    assert cells.shape == ((2, 3) if orientation < 5 else (3, 2))
    assert "".join("abcdef"[np.abs(np.arange(97, 103) - cell).argmin()] for cell in cells.flat) == TURNED[orientation]


@pytest.mark.parametrize("ending", CARRIERS)
def test_profiles_can_be_converted_to_srgb(ending, tmp_path):
    """Red and green change places as the profile says; the result is sRGB, and has no profile that says otherwise."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[...] = (200, 60, 30)
    Image.fromarray(pixels).save(tmp_path / "in.png", icc_profile=swapped_profile(), exif=exif())
    result = restore_file(tmp_path / "in.png", tmp_path / f"out.{ending}", profile="srgb", quality=100)
    assert result.lost == ("converted to sRGB",)
    with Image.open(tmp_path / f"out.{ending}") as out:
        assert out.info.get("icc_profile") is None
        assert out.getexif().get(MAKE) == "Maker"
        assert np.abs(np.asarray(out.convert("RGB")).astype(int) - (60, 200, 30)).max() <= 12


def test_a_profile_that_is_kept_leaves_the_values(tmp_path):
    pixels = random_pixels(3, 8)
    Image.fromarray(pixels).save(tmp_path / "in.png", icc_profile=swapped_profile())
    assert restore_file(tmp_path / "in.png", tmp_path / "out.png").lost == ()
    assert np.array_equal(read_png(tmp_path / "out.png"), pixels)
    with Image.open(tmp_path / "out.png") as out:
        assert out.info["icc_profile"] == swapped_profile()
