"""Pictures: every stated conversion against known values, and every file that is no single picture refused by name."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from elir_edge.errors import DataError, MissingInputError
from elir_edge.imaging.pictures import MAX_PIXELS, fit_picture, pictures_in, read_picture, write_picture
from tests.helpers import refusal

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def save(image: Image.Image, path, **options):
    image.save(path, **options)
    return path


def single(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (3, 2), colour)


def palette(colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, *colour])
    return image


def sixteen_bits(value: int) -> Image.Image:
    return Image.fromarray(np.full((2, 3), value, np.uint16))


CONVERSIONS = {
    "RGB": ("a.png", single("RGB", (10, 20, 30)), {}, (10, 20, 30)),
    "opaque RGBA": ("a.png", single("RGBA", (10, 20, 30, 255)), {}, (10, 20, 30)),
    "transparent RGBA becomes white": ("a.png", single("RGBA", (10, 20, 30, 0)), {}, WHITE),
    "half transparent black over white": ("a.png", single("RGBA", (0, 0, 0, 51)), {}, (204, 204, 204)),
    "grey with transparency": ("a.png", single("LA", (0, 102)), {}, (153, 153, 153)),
    "grey is repeated": ("a.png", single("L", 77), {}, (77, 77, 77)),
    "black and white": ("a.png", single("1", 1), {}, WHITE),
    "palette": ("a.png", palette((1, 2, 3)), {}, (1, 2, 3)),
    "palette with a transparent colour": ("a.png", palette((1, 2, 3)), {"transparency": 1}, WHITE),
    "RGB with a transparent colour": ("a.png", single("RGB", (9, 8, 7)), {"transparency": (9, 8, 7)}, WHITE),
    "16 bits keep their upper 8": ("a.png", sixteen_bits(0xABCD), {}, (0xAB,) * 3),
    "16 bits, brightest": ("a.png", sixteen_bits(0xFFFF), {}, WHITE),
    "16 bits, darkest but one": ("a.png", sixteen_bits(0x00FF), {}, (0, 0, 0)),
    "16-bit TIFF": ("a.tif", sixteen_bits(0xABCD), {}, (0xAB,) * 3),
    "16-bit PGM": ("a.ppm", sixteen_bits(0xABCD), {}, (0xAB,) * 3),
    "CMYK": ("a.tif", single("CMYK", (255, 0, 255, 0)), {}, GREEN),
    "black ink": ("a.tif", single("CMYK", (0, 0, 0, 255)), {}, (0, 0, 0)),
    "BMP": ("a.bmp", single("RGB", BLUE), {}, BLUE),
    "WebP": ("a.webp", single("RGB", (40, 50, 60)), {"lossless": True}, (40, 50, 60)),
    "transparent WebP": ("a.webp", single("RGBA", (0, 0, 0, 0)), {"lossless": True}, WHITE),
    "PPM": ("a.ppm", single("RGB", RED), {}, RED),
    "another ending": ("a.jpg", single("RGB", (10, 20, 30)), {"format": "PNG"}, (10, 20, 30)),
}


@pytest.mark.parametrize("case", CONVERSIONS)
def test_stated_conversions(case, tmp_path):
    name, image, options, expected = CONVERSIONS[case]
    pixels = read_picture(save(image, tmp_path / name, **options))
    assert (pixels.dtype, pixels.shape) == (np.uint8, (2, 3, 3))
    assert pixels.reshape(-1, 3).tolist() == [list(expected)] * 6


def test_cmyk_jpeg(tmp_path):
    path = save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=100)
    assert np.abs(read_picture(path).astype(int) - RED).max() <= 3


ROTATIONS = {1: "abcdef", 2: "cbafed", 3: "fedcba", 4: "defabc", 5: "adbecf", 6: "daebfc", 7: "fcebda", 8: "cfbead"}


@pytest.mark.parametrize("orientation", ROTATIONS)
def test_exif_rotation_is_applied(orientation, tmp_path):
    letters = np.frombuffer(b"abcdef", np.uint8).reshape(2, 3)
    image = Image.fromarray(np.repeat(letters[..., None], 3, 2))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = read_picture(save(image, tmp_path / "a.png", exif=exif))
    assert pixels.shape[:2] == ((2, 3) if orientation < 5 else (3, 2))
    assert bytes(pixels[..., 0].tobytes()).decode() == ROTATIONS[orientation]


SIZES = [(1, 1), (1, 7), (7, 1), (2, 3), (13, 17), (31, 97), (101, 3), (127, 131)]


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "jpg"])
@pytest.mark.parametrize("height, width", SIZES)
def test_odd_and_prime_sizes(height, width, ending, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    write_picture(tmp_path / f"a.{ending}", pixels)
    found = read_picture(tmp_path / f"a.{ending}")
    assert found.shape == pixels.shape
    if ending not in ("jpg", "webp"):
        assert np.array_equal(found, pixels)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{ending}"]


def test_a_phones_jpeg_with_a_second_picture_inside_gives_the_first(tmp_path):
    """Cameras store previews and gain maps behind the picture, in the multi-picture form of JPEG."""
    first, second = Image.new("RGB", (16, 16), WHITE), Image.new("RGB", (8, 8), RED)
    path = save(first, tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    with Image.open(path) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    assert read_picture(path).tolist() == np.full((16, 16, 3), 255).tolist()


# ---- files that are no single picture ------------------------------------------------------------------------------


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), *chunks)
    )


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def frames(kind: str) -> bytes:
    pictures = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    return encode(pictures[0], kind, save_all=True, append_images=pictures[1:])


FITS = "".join(
    card.ljust(80) for card in ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 2", "NAXIS2  = 2", "END")
)

NO_PICTURE = {
    "empty": (b"", "not a picture"),
    "text named .png": (b"this is text, not a picture\n" * 20, "not a picture", "known: JPEG, PNG"),
    "HTML": (b"<!DOCTYPE html><html></html>", "not a picture"),
    "an EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n", "not a picture"),
    "a FITS": (FITS.encode().ljust(2880) + bytes(2880), "not a picture"),
    "a PDF": (encode(single("RGB", RED), "PDF"), "not a picture"),
    "a GIF": (encode(single("RGB", RED), "GIF"), "not a picture"),
    "a PNG without data": (png(8, 8), "or damaged"),
    "a PNG with wrong data": (png(8, 8, (b"IDAT", b"nothing"), (b"IEND", b"")), "damaged or cut short"),
    "a PNG of 10^9 pixels": (png(100_000, 10_000, (b"IDAT", b"")), "more than 178000000 pixels"),
    "a PNG of 2^62 pixels": (png(2**31 - 1, 2**31 - 1, (b"IDAT", b"")), "pixels"),
    "one row too many": (png(MAX_PIXELS // 1000, 1001, (b"IDAT", b"")), f"more than {MAX_PIXELS}"),
    "an animated PNG": (frames("PNG"), "3 pages or frames"),
    "an animated WebP": (frames("WEBP"), "3 pages or frames"),
    "a TIFF of three pages": (frames("TIFF"), "3 pages or frames"),
    "a TIFF of floating point": (encode(single("F", 0.5), "TIFF"), "floating point"),
    "a TIFF of 32 bits": (encode(Image.fromarray(np.full((2, 2), 1 << 20, np.int32)), "TIFF"), "32 bits"),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_PICTURE)
def test_no_picture(case, tmp_path):
    content, *named = NO_PICTURE[case]
    (tmp_path / "a.png").write_bytes(content)
    began = time.process_time()
    error = refusal(DataError, lambda: read_picture(tmp_path / "a.png"), "a.png", *named)
    assert error.exit_code == 65
    assert time.process_time() - began < 1, "refused before decoding"


def photograph() -> Image.Image:
    waves = np.sin(np.arange(96)[:, None] / 7) * np.cos(np.arange(80)[None] / 5)
    return Image.fromarray(np.repeat(((waves + 1) * 127).astype(np.uint8)[..., None], 3, 2))


WHOLE = {
    "JPEG": encode(photograph(), "JPEG"),
    "progressive JPEG": encode(photograph(), "JPEG", progressive=True),
    "PNG": encode(photograph(), "PNG"),
    "WebP": encode(photograph(), "WEBP"),
    "TIFF": encode(photograph(), "TIFF"),
    "deflated TIFF": encode(photograph(), "TIFF", compression="tiff_adobe_deflate"),
    "BMP": encode(photograph(), "BMP"),
    "PPM": encode(photograph(), "PPM"),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("percent", [1, 10, 50, 75, 90, 97])
def test_cut_short_is_never_silently_grey(kind, percent, tmp_path):
    whole = WHOLE[kind]
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) * percent // 100])
    refusal(DataError, lambda: read_picture(tmp_path / "a.jpg"), "a.jpg")


@pytest.mark.parametrize("kind", WHOLE)
def test_changed_bytes_raise_nothing_else(kind, tmp_path):
    whole, path = WHOLE[kind], tmp_path / "a.jpg"
    for position in np.random.default_rng(0).integers(0, min(len(whole), 700), 150).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            pixels = read_picture(path)
        except DataError as error:
            assert "a.jpg" in str(error)
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3


def test_not_there(tmp_path):
    assert refusal(MissingInputError, lambda: read_picture(tmp_path / "no.png"), "no.png").exit_code == 66
    refusal(MissingInputError, lambda: pictures_in(tmp_path / "no"), "no such folder")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    refusal(DataError, lambda: pictures_in(tmp_path), str(tmp_path), "holds no pictures", ".jpeg")


def test_pictures_of_a_folder_come_by_name(tmp_path):
    for name in ("b.PNG", "a.jpeg", "c.TIF", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in pictures_in(tmp_path)] == ["a.jpeg", "b.PNG", "c.TIF"]


@pytest.mark.parametrize("height, width", SIZES)
def test_fitting(height, width):
    assert fit_picture(np.zeros((height, width, 3), np.uint8), 32, 64).shape == (32, 64, 3)
