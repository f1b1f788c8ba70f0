"""Pictures: damaged, of other kinds, of every size and mode, one bad among many. All go through a real runtime."""

from __future__ import annotations

import io
import struct
import time
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elir_edge.errors import DataError
from elir_edge.imaging.pictures import read_picture
from tests.helpers import refusal, save_picture, snapshot
from tests.robustness.faults import Fault, assert_refused, assert_told

RESTORE = ("restore", "-a", "good.onnx", "-o", "old.png", "--force")
RED, PRINTED_GREEN = (255, 0, 0), (0, 143, 63)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photograph(side: int = 96) -> Image.Image:
    waves = np.sin(np.arange(side)[:, None] / 7) * np.cos(np.arange(side)[None] / 5)
    return Image.fromarray(np.repeat(((waves + 1) * 127).astype(np.uint8)[..., None], 3, 2))


def cut(kind: str, percent: int) -> bytes:
    whole = encode(photograph(), kind)
    return whole[: len(whole) * percent // 100]


def png_header(width: int, height: int) -> bytes:
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def pages(kind: str) -> bytes:
    return encode(photograph(16), kind, save_all=True, append_images=[Image.new("RGB", (16, 16), RED)])


FITS = "".join(card.ljust(80) for card in ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 2", "NAXIS2  = 2"))
LINES = {
    **{f"a JPEG cut at {percent} %": (cut("JPEG", percent),) for percent in (1, 50, 99)},
    **{f"a PNG cut at {percent} %": (cut("PNG", percent),) for percent in (1, 50, 97)},
    "text named .png": (b"this is text\n" * 20, "not a picture", "known: PNG, JPEG"),
    "nothing": (b"", "not a picture"),
    "a header of 10^9 pixels": (png_header(100_000, 10_000), "-> "),
    "a header of 2^62 pixels": (png_header(2**31 - 1, 2**31 - 1), "-> "),
    "an EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EOF\n", "not a picture"),
    "a FITS": (FITS.encode().ljust(2880) + bytes(2880), "not a picture"),
    "a PDF": (encode(photograph(16), "PDF"), "not a picture"),
    "an animated PNG": (pages("PNG"), "an animated PNG"),
    "an animated WebP": (pages("WEBP"), "2 pages or frames"),
    "a TIFF of two pages": (pages("TIFF"), "2 pages or frames"),
    "an animated GIF": (pages("GIF"), "not a picture"),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_refused(line, place, run):
    content, *named = LINES[line]
    (place / "bad.png").write_bytes(content)
    before = snapshot(place)
    outcome = run(*RESTORE, "bad.png")
    assert outcome.out == "0 of 1 restored\n"
    assert_told(type(outcome)(outcome.code, "", outcome.err), 65, "bad.png", *named)
    assert snapshot(place) == before


@pytest.mark.parametrize("height, width", [(1, 1), (1, 97), (97, 1), (31, 33), (37, 101), (64, 32)])
def test_every_size_is_restored_at_exactly_that_size(height, width, place, run):
    pixels = save_picture(place / "odd.png", height, width)
    assert run("restore", "odd.png", "-a", "good.onnx", "-o", "new.png").code == 0
    assert np.array_equal(read_picture(place / "new.png"), pixels)


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.full((8, 6), 0xABCD, np.uint16))


def rotated_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(Image.new("RGB", (8, 6), RED), "PNG", exif=exif)


def palette() -> Image.Image:
    image = Image.new("P", (6, 8), 1)
    image.putpalette([0, 0, 0, 1, 2, 3])
    return image


CONVERSIONS = {
    "RGBA is blended onto white": (encode(Image.new("RGBA", (6, 8), (0, 0, 0, 51)), "PNG"), (204, 204, 204)),
    "palette": (encode(palette(), "PNG"), (1, 2, 3)),
    "grey is repeated": (encode(Image.new("L", (6, 8), 77), "PNG"), (77, 77, 77)),
    "CMYK becomes sRGB by its profile": (encode(Image.new("CMYK", (6, 8), (255, 0, 255, 0)), "TIFF"), PRINTED_GREEN),
    "16 bits keep their upper 8": (encode(sixteen_bits(), "PNG"), (0xAB,) * 3),
    "EXIF rotation is applied": (rotated_jpeg(), RED),
}


@pytest.mark.parametrize("line", CONVERSIONS)
def test_stated_conversions(line, place, run):
    content, colour = CONVERSIONS[line]
    (place / "mode.png").write_bytes(content)
    assert run("restore", "mode.png", "-a", "good.onnx", "-o", "new.png").code == 0
    found = read_picture(place / "new.png")
    assert found.shape == (8, 6, 3)
    assert found.reshape(-1, 3).tolist() == [list(colour)] * 48


def test_one_bad_picture_in_a_folder_and_the_others_are_done(place, run):
    folder = place / "pictures"
    folder.mkdir()
    saved = {name: save_picture(folder / f"{name}.png", seed=ord(name)) for name in "ac"}
    (folder / "b.png").write_bytes(b"text")
    outcome = run("restore", "pictures", "-a", "good.onnx", "-o", "out")
    assert (outcome.code, outcome.out) == (65, "2 of 3 restored\n")
    assert "pictures/b.png" in outcome.err and "Traceback" not in outcome.err
    assert {path.stem for path in (place / "out").glob("[!.]*")} == {"a", "c"}
    assert all(np.array_equal(read_picture(place / "out" / f"{name}.png"), pixels) for name, pixels in saved.items())


def assert_quick(seconds: float, call) -> None:
    began = time.perf_counter()
    call()
    assert time.perf_counter() - began < seconds


def test_a_bomb_is_refused_before_it_is_decoded(place, run):
    (place / "bad.png").write_bytes(png_header(100_000, 10_000))
    run(*RESTORE, "a.png")  # the runtime is loaded by then
    assert_quick(5, partial(run, *RESTORE, "bad.png"))


def test_pictures_that_are_not_there(place, run):
    assert_refused(Fault(66, (*RESTORE, "no.png"), ("no such picture", "no.png")), place, run)
    assert_refused(Fault(65, (*RESTORE, "empty"), ("empty", "holds no pictures"), make_empty), place, run)


def make_empty(folder: Path) -> None:
    (folder / "empty").mkdir()


def test_a_tiff_without_a_width_is_damaged(place):
    """The decoder has a TypeError for it."""
    data = encode(photograph(), "TIFF")
    width = struct.pack("<HH", 256, 4)  # the tag and its type
    assert data.count(width) == 1
    (place / "bad.tif").write_bytes(data.replace(width, struct.pack("<HH", 65000, 4)))
    refusal(DataError, lambda: read_picture(place / "bad.tif"), "bad.tif", "damaged")
