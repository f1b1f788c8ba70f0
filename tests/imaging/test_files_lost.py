"""What a picture's new format, the artifact or a damaged file cost: said, or refused. Other decoders than libvips."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elir_edge.errors import DataError
from elir_edge.imaging.libvips import load_library
from elir_edge.imaging.opening import open_picture
from elir_edge.runtime.batch import run_pictures
from elir_edge.runtime.settings import Settings
from tests.helpers import refusal
from tests.imaging.files import MAKE, exif, profile, random_pixels, read_png, restore_file, write_png
from tests.sessions import IdentitySession

# ---- what is lost is said -------------------------------------------------------------------------------------------

LOSSES = {
    "alpha into JPEG": (4, 8, "jpg", "alpha is blended onto white: JPEG holds none"),
    "16 bits into JPEG": (3, 16, "jpg", "16 bits a channel become 8: JPEG holds no more"),
    "16 bits into WebP": (3, 16, "webp", "16 bits a channel become 8: WEBP holds no more"),
    "16 bits into AVIF": (3, 16, "avif", "16 bits a channel become 12: AVIF holds no more"),
    "alpha into BMP": (4, 8, "bmp", "alpha is blended onto white: BMP holds none"),
}


@pytest.mark.parametrize("case", LOSSES)
def test_what_is_lost_is_said(case, tmp_path):
    channels, bits, ending, said = LOSSES[case]
    write_png(tmp_path / "in.png", random_pixels(channels, bits))
    assert said in restore_file(tmp_path / "in.png", tmp_path / f"out.{ending}").lost
    with Image.open(tmp_path / f"out.{ending}") as out:
        assert out.size == (30, 40)


def test_transparency_is_blended_onto_white_for_jpeg(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., 3] = 51
    write_png(tmp_path / "in.png", pixels)
    restore_file(tmp_path / "in.png", tmp_path / "out.jpg", quality=100)
    with Image.open(tmp_path / "out.jpg") as out:
        assert np.abs(np.asarray(out).astype(int) - 204).max() <= 1


def test_metadata_lost_in_bmp_are_named(tmp_path):
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.png", exif=exif(), icc_profile=profile())
    assert restore_file(tmp_path / "in.png", tmp_path / "out.bmp").lost == ("EXIF, ICC dropped: BMP holds none",)


def test_an_artifact_of_bytes_says_that_16_bits_have_256_levels(tmp_path):
    write_png(tmp_path / "in.png", random_pixels(3, 16))
    [result] = run_pictures([(tmp_path / "in.png", tmp_path / "o.png")], [IdentitySession("uint8")], "", Settings())
    assert any("256 levels" in text for text in result.lost)
    assert np.unique(read_png(tmp_path / "o.png") % 257).tolist() == [0]


def test_cmyk_becomes_srgb(tmp_path):
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(tmp_path / "in.jpg", quality=100)
    result = restore_file(tmp_path / "in.jpg", tmp_path / "out.png")
    assert result.lost == ("CMYK is converted to sRGB, its profile dropped",)
    red, green, blue = read_png(tmp_path / "out.png").reshape(-1, 3).mean(0)
    assert red > 200 and green < 80 and blue < 80


# ---- alpha, other decoders, damage ----------------------------------------------------------------------------------


def test_alpha_is_restored_by_itself_where_asked(tmp_path):
    write_png(tmp_path / "in.png", np.full((40, 40, 4), 100, np.uint8))
    half = IdentitySession(function=lambda image: image / 2)
    for alpha, expected in (("keep", 100), ("restore", 50)):
        target = tmp_path / f"{alpha}.png"
        [result] = run_pictures([(tmp_path / "in.png", target)], [half], "", Settings(alpha=alpha))
        assert result.error is None
        assert np.unique(read_png(target)[..., 3]).tolist() == [expected]
        assert np.unique(read_png(target)[..., :3]).tolist() == [50]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_heic(mode, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = np.repeat(np.linspace(0, 255, 64 * 48).reshape(64, 48, 1), len(mode), 2).astype(np.uint8)
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "in.heic", quality=95, exif=exif())
    restore_file(tmp_path / "in.heic", tmp_path / "out.heic")
    out = pillow_heif.open_heif(tmp_path / "out.heic")
    assert (out.mode, out.size) == (mode, (48, 64))
    assert np.abs(np.asarray(out).astype(int) - pixels).mean() < 3
    found = Image.Exif()
    found.load(out.info["exif"])
    assert found[MAKE] == "Maker"


def test_heic_keeps_xmp_and_says_that_long_exif_is_dropped(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    long = Image.Exif()
    long[MAKE] = "M" * 70_000
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a/></x:xmpmeta>'
    pillow_heif.from_pillow(Image.new("RGB", (48, 64))).save(tmp_path / "in.heic", exif=long.tobytes(), xmp=xmp)
    result = restore_file(tmp_path / "in.heic", tmp_path / "out.heic")
    assert result.lost == ("EXIF is dropped: only 64 KB of it are read",)
    assert pillow_heif.open_heif(tmp_path / "out.heic").info["xmp"].rstrip(b"\0") == xmp


def write_lab(path: Path, kind: str) -> None:
    """A TIFF of sRGB's red as CIELAB: labs 16 bits, lab floating point, labq 8 bits."""
    flat = load_library().Image.black(40, 30, bands=3)
    flat.linear(1, [53.24, 80.09, 67.2]).copy(interpretation="lab").colourspace(kind).tiffsave(str(path))


@pytest.mark.parametrize("kind", ["labs", "lab"])
def test_lab_becomes_srgb(kind, tmp_path):
    write_lab(tmp_path / "in.tif", kind)
    result = restore_file(tmp_path / "in.tif", tmp_path / "out.png")
    assert any("converted to sRGB" in text for text in result.lost)
    pixels = read_png(tmp_path / "out.png")
    assert np.abs(pixels.reshape(-1, 3).mean(0) / np.iinfo(pixels.dtype).max - (1, 0, 0)).max() < 0.02


def test_lab_of_8_bits_is_refused_by_its_name(tmp_path):
    write_lab(tmp_path / "in.tif", "labq")
    refusal(DataError, lambda: open_picture(tmp_path / "in.tif"), "in.tif", "Lab of 8 bits", "16 bits")


@pytest.mark.parametrize("most", [1023, 65535])
def test_ppm_of_16_bits(most, tmp_path):
    values = np.random.default_rng(0).integers(0, most + 1, (40, 30, 3))
    head = f"P6 # by hand\n30 40\n{most}\n".encode()
    (tmp_path / "in.ppm").write_bytes(head + values.astype(">u2").tobytes())
    assert restore_file(tmp_path / "in.ppm", tmp_path / "out.png").lost == ()
    assert np.array_equal(read_png(tmp_path / "out.png"), np.rint(values * (65535 / most)))
    (tmp_path / "in.ppm").write_bytes(head + values.astype(">u2").tobytes()[:-1])
    with pytest.raises(DataError, match="cut short"):
        open_picture(tmp_path / "in.ppm")


@pytest.mark.parametrize("head, said", [
    (b"P6 0 5 65535\n", "damaged"), (b"P6 5 0 65535\n", "damaged"), (b"P6 999999999 999999999 65535\n", "in all"),
])  # fmt: skip
def test_ppm_of_no_or_too_many_pixels(head, said, tmp_path):
    (tmp_path / "in.ppm").write_bytes(head)
    refusal(DataError, lambda: open_picture(tmp_path / "in.ppm"), "in.ppm", said)


def test_a_tiff_of_more_pixels_than_pillow_allows(tmp_path):
    """EXIF is read by Pillow, which refuses to open such a picture and warns of smaller ones."""
    side = 13_500
    load_library().Image.black(side, side).tiffsave(str(tmp_path / "in.tif"), compression="deflate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_picture(tmp_path / "in.tif") as opened:
            assert opened.read(0, 2).shape == (2, side, 1)


@pytest.mark.parametrize("kind, ending", [("PPM", "ppm"), ("BMP", "bmp")])
def test_ppm_and_bmp(kind, ending, tmp_path):
    pixels = random_pixels(3, 8)
    Image.fromarray(pixels).save(tmp_path / f"in.{ending}", kind)
    restore_file(tmp_path / f"in.{ending}", tmp_path / "out.png")
    assert np.array_equal(read_png(tmp_path / "out.png"), pixels)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "avif"])
@pytest.mark.parametrize("percent", [10, 50, 97])
def test_what_is_cut_short_is_refused(ending, percent, tmp_path):
    waves = ((np.sin(np.arange(96)[:, None] / 7) * np.cos(np.arange(80)[None] / 5) + 1) * 127).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(np.repeat(waves[..., None], 3, 2)).save(encoded, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending))
    whole = encoded.getvalue()
    (tmp_path / f"in.{ending}").write_bytes(whole[: len(whole) * percent // 100])
    target = tmp_path / "out.png"
    [result] = run_pictures([(tmp_path / f"in.{ending}", target)], [IdentitySession()], "", Settings())
    assert result.error is not None and f"in.{ending}" in result.error
    assert result.exit_code == DataError.exit_code
    assert not target.exists()


@pytest.mark.parametrize("kind, said", [("PNG", "animated"), ("WEBP", "frames"), ("TIFF", "pages")])
def test_several_pictures_in_one_file_are_refused(kind, said, tmp_path):
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    pictures[0].save(tmp_path / "in.png", kind, save_all=True, append_images=pictures[1:])
    with pytest.raises(DataError, match=said):
        open_picture(tmp_path / "in.png")


def test_more_files_of_several_pictures_are_refused(tmp_path):
    """A PNG whose sign of an animation comes after a long text; an AVIF of two frames; a HEIC of two pictures."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("comment", "long " * 2000)
    pictures = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    for name, more in (("in.png", {"pnginfo": text}), ("in.avif", {})):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], **more)
        with pytest.raises(DataError, match="animated"):
            open_picture(tmp_path / name)
    pillow_heif = pytest.importorskip("pillow_heif")
    both = pillow_heif.from_pillow(pictures[0])
    both.add_from_pillow(pictures[1])
    both.save(tmp_path / "in.heic")
    with pytest.raises(DataError, match="2 pictures"):
        open_picture(tmp_path / "in.heic")


COLOUR_MATRIX = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)


def write_dng(path: Path, red: int, green: int, blue: int) -> None:
    """A DNG of one colour behind an RGGB filter, neutral as shot, with the matrix of sRGB."""
    tifffile = pytest.importorskip("tifffile")
    mosaic = np.tile(np.array([[red, green], [green, blue]], np.uint16), (32, 48))
    matrix = tuple(part for value in COLOUR_MATRIX for part in (round(value * 10_000), 10_000))
    tags = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, b"\0\1\1\2", True),
        (50706, "B", 4, b"\1\4\0\0", True),
        (50707, "B", 4, b"\1\1\0\0", True),
        (50708, "s", 0, "Test camera", True),
        (50714, "I", 1, 0, True),
        (50717, "I", 1, 65535, True),
        (50721, "2i", 9, matrix, True),
        (50728, "2I", 3, (1, 1) * 3, True),
        (50778, "H", 1, 21, True),
    ]
    tifffile.imwrite(path, mosaic, photometric=32803, extratags=tags)


def test_camera_raw_is_developed_into_16_bits(tmp_path):
    pytest.importorskip("rawpy")
    write_dng(tmp_path / "in.dng", 30_000, 20_000, 10_000)
    result = restore_file(tmp_path / "in.dng", tmp_path / "out.png")
    assert any("LibRaw" in text for text in result.lost)
    found = read_png(tmp_path / "out.png")
    assert (found.shape, found.dtype) == ((64, 96, 3), np.uint16)
    red, green, blue = found[32, 48].astype(int)
    assert red > green > blue and red % 257


def test_orientation_in_xmp_is_reset_too(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.jpg", exif=exif(6), xmp=xmp)
    restore_file(tmp_path / "in.jpg", tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert b'tiff:Orientation="1"' in out.info["xmp"]
        assert out.size == (40, 30)
