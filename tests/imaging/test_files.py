"""Formats x bit depths x alpha x profile x orientation: what goes into a restoration and what comes out.

The files are written and read by Pillow, tifffile, pillow-heif and zlib, never by what is under test. The model is an
identity: every difference is the files'.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from elir_edge.errors import DataError
from elir_edge.imaging.opening import open_picture
from elir_edge.runtime.batch import run_pictures
from elir_edge.runtime.work import Settings
from tests.sessions import IdentitySession

DATE, TAKEN = 0x9003, "2020:01:02 03:04:05"
ORIENTATION, MAKE = 0x0112, 0x010F
TURNED = {1: "abcdef", 2: "cbafed", 3: "fedcba", 4: "defabc", 5: "adbecf", 6: "daebfc", 7: "fcebda", 8: "cfbead"}


def profile(space: str = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def exif(orientation: int = 1) -> bytes:
    data = Image.Exif()
    data[ORIENTATION], data[MAKE] = orientation, "Maker"
    data.get_ifd(0x8769)[DATE] = TAKEN
    return data.tobytes()


def restored(source: Path, target: Path, **settings):
    [result] = run_pictures([(source, target)], [IdentitySession()], "identity", Settings(**settings))
    assert result.error is None, result.error
    return result


def random_pixels(channels: int, bits: int, height: int = 40, width: int = 30) -> np.ndarray:
    dtype = np.uint16 if bits == 16 else np.uint8
    pixels = np.random.default_rng(bits + channels).integers(0, 2**bits, (height, width, channels)).astype(dtype)
    return pixels if channels > 1 else pixels[..., 0]


def write_png(path: Path, pixels: np.ndarray) -> None:
    """A PNG of 8 or 16 bits with 1 to 4 channels: Pillow has no 16-bit colour."""
    shaped = pixels if pixels.ndim == 3 else pixels[..., None]
    height, width, channels = shaped.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in shaped)
    head = struct.pack(">IIBBBBB", width, height, shaped.dtype.itemsize * 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    )


def read_png(path: Path) -> np.ndarray:
    """Pixels of a PNG without interlacing, by zlib and the five filters of its specification."""
    data, place, packed = path.read_bytes(), 8, b""
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, bits, colour = struct.unpack(">IIBB", content[:10])
        packed += content if kind == b"IDAT" else b""
        place += length + 12
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    step = channels * bits // 8
    raw, above, rows = zlib.decompress(packed), bytearray(width * step), []
    for y in range(height):
        start = y * (width * step + 1)
        above = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + width * step]), above, step)
        rows.append(bytes(above))
    dtype = np.dtype(">u2" if bits == 16 else "u1")
    shaped = np.frombuffer(b"".join(rows), dtype).reshape(height, width, channels)
    return shaped.astype(dtype.newbyteorder("="))


def unfiltered(kind: int, row: bytearray, above: bytearray, step: int) -> bytearray:
    for i in range(len(row)):
        left, up = row[i - step] if i >= step else 0, above[i]
        corner = above[i - step] if i >= step else 0
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda value: abs(guess - value))
        row[i] = (row[i] + (0, left, up, (left + up) // 2, nearest)[kind]) % 256
    return row


# ---- what is kept exactly -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_keeps_every_bit_and_channel(channels, bits, tmp_path):
    pixels = random_pixels(channels, bits)
    write_png(tmp_path / "in.png", pixels)
    assert restored(tmp_path / "in.png", tmp_path / "out.png").lost == ()
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
    assert restored(tmp_path / "in.tif", tmp_path / "out.tif").lost == ()
    with tifffile.TiffFile(tmp_path / "out.tif") as found:
        import elir_edge.imaging.libvips as libvips

        assert (found.pages[0].bitspersample, found.pages[0].samplesperpixel) == (bits, channels)
        image = libvips.open_descriptor(found.filehandle.fileno(), False)
    assert np.array_equal(image.numpy().squeeze(), pixels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_keeps_alpha_and_nearly_its_colours(mode, tmp_path):
    smooth = np.linspace(0, 255, 40 * 30 * len(mode)).reshape(40, 30, len(mode)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "in.webp", lossless=True, exact=True)
    restored(tmp_path / "in.webp", tmp_path / "out.webp", quality=100)
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
    assert restored(tmp_path / "in.avif", tmp_path / "out.avif", quality=100).lost == ()
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
    result = restored(tmp_path / f"in.{ending}", tmp_path / f"out.{to}")
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
    restored(tmp_path / f"in.{ending}", tmp_path / f"out.{ending}", quality=100)
    with Image.open(tmp_path / f"out.{ending}") as out:
        assert out.getexif().get(ORIENTATION, 1) == 1
        cells = np.asarray(out.convert("L"))[8::16, 8::16]
    assert cells.shape == ((2, 3) if orientation < 5 else (3, 2))
    assert "".join("abcdef"[np.abs(np.arange(97, 103) - cell).argmin()] for cell in cells.flat) == TURNED[orientation]


def test_profiles_can_be_converted_to_srgb(tmp_path):
    """A profile of another space: the colours change as LittleCMS says, through Pillow's own binding of it."""
    pixels = np.repeat(np.linspace(10, 245, 40 * 30).reshape(40, 30, 1), 3, 2).astype(np.uint8)
    lab = ImageCms.createProfile("sRGB")
    image = Image.fromarray(pixels)
    image.save(tmp_path / "in.png", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    result = restored(tmp_path / "in.png", tmp_path / "out.png", profile="srgb")
    assert result.lost == ("converted to sRGB",)
    assert np.abs(read_png(tmp_path / "out.png").astype(int) - pixels).max() <= 1


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
    assert said in restored(tmp_path / "in.png", tmp_path / f"out.{ending}").lost
    with Image.open(tmp_path / f"out.{ending}") as out:
        assert out.size == (30, 40)


def test_transparency_is_blended_onto_white_for_jpeg(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., 3] = 51
    write_png(tmp_path / "in.png", pixels)
    restored(tmp_path / "in.png", tmp_path / "out.jpg", quality=100)
    with Image.open(tmp_path / "out.jpg") as out:
        assert np.abs(np.asarray(out).astype(int) - 204).max() <= 1


def test_metadata_lost_in_bmp_are_named(tmp_path):
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.png", exif=exif(), icc_profile=profile())
    assert restored(tmp_path / "in.png", tmp_path / "out.bmp").lost == ("EXIF, ICC dropped: BMP holds none",)


def test_an_artifact_of_bytes_says_that_16_bits_have_256_levels(tmp_path):
    write_png(tmp_path / "in.png", random_pixels(3, 16))
    [result] = run_pictures([(tmp_path / "in.png", tmp_path / "o.png")], [IdentitySession("uint8")], "", Settings())
    assert any("256 levels" in text for text in result.lost)
    assert np.unique(read_png(tmp_path / "o.png") % 257).tolist() == [0]


def test_cmyk_becomes_srgb(tmp_path):
    Image.new("CMYK", (40, 40), (0, 255, 255, 0)).save(tmp_path / "in.jpg", quality=100)
    result = restored(tmp_path / "in.jpg", tmp_path / "out.png")
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
    restored(tmp_path / "in.heic", tmp_path / "out.heic")
    out = pillow_heif.open_heif(tmp_path / "out.heic")
    assert (out.mode, out.size) == (mode, (48, 64))
    assert np.abs(np.asarray(out).astype(int) - pixels).mean() < 3
    found = Image.Exif()
    found.load(out.info["exif"])
    assert found[MAKE] == "Maker"


@pytest.mark.parametrize("kind, ending", [("PPM", "ppm"), ("BMP", "bmp")])
def test_ppm_and_bmp(kind, ending, tmp_path):
    pixels = random_pixels(3, 8)
    Image.fromarray(pixels).save(tmp_path / f"in.{ending}", kind)
    restored(tmp_path / f"in.{ending}", tmp_path / "out.png")
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
    result = restored(tmp_path / "in.dng", tmp_path / "out.png")
    assert any("LibRaw" in text for text in result.lost)
    found = read_png(tmp_path / "out.png")
    assert (found.shape, found.dtype) == ((64, 96, 3), np.uint16)
    red, green, blue = found[32, 48].astype(int)
    assert red > green > blue and red % 257


def test_orientation_in_xmp_is_reset_too(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.jpg", exif=exif(6), xmp=xmp)
    restored(tmp_path / "in.jpg", tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert b'tiff:Orientation="1"' in out.info["xmp"]
        assert out.size == (40, 30)
