"""Metadata that a format, or the writer of it, does not hold: told, never lost in silence."""

from __future__ import annotations

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from elir_edge.imaging.jpeg_segments import read_segments
from elir_edge.imaging.libvips import load_library
from elir_edge.imaging.opening import FURTHER
from tests.imaging.files import MAKE, random_pixels, restore_file


def picture() -> Image.Image:
    return Image.fromarray(random_pixels(3, 8))


def test_further_pictures_of_a_jpeg_are_told(tmp_path):
    picture().save(tmp_path / "in.jpg", "MPO", save_all=True, append_images=[picture().rotate(180)])
    assert restore_file(tmp_path / "in.jpg", tmp_path / "out.jpg").lost == FURTHER
    assert restore_file(tmp_path / "out.jpg", tmp_path / "again.jpg").lost == ()


def test_comments_of_a_jpeg_are_kept_in_a_jpeg(tmp_path):
    picture().save(tmp_path / "in.jpg", comment="Grüße".encode("latin-1"), exif=Image.Exif().tobytes())
    assert restore_file(tmp_path / "in.jpg", tmp_path / "out.jpg").lost == ()
    assert read_segments(tmp_path / "out.jpg") == (("Grüße".encode("latin-1"),), False)
    with Image.open(tmp_path / "out.jpg") as out:
        out.load()
        assert out.info["comment"] == "Grüße".encode("latin-1")
    assert restore_file(tmp_path / "in.jpg", tmp_path / "out.png").lost == (
        "texts of the JPEG dropped: only JPEG keeps them",
    )


@pytest.mark.parametrize("ending, kept", [("jpg", True), ("tif", True), ("png", False), ("webp", False),
                                          ("avif", False), ("heic", False)])  # fmt: skip
def test_iptc(ending, kept, tmp_path):
    pyvips = load_library()
    image = pyvips.Image.black(40, 30, bands=3).copy(interpretation="srgb")
    block = b"Photoshop 3.0\0" + b"8BIM\4\4" + bytes(5) + b"\x0a" + b"\x1c\2\x78\0\5hello"
    image.set_type(pyvips.GValue.blob_type, "iptc-data", block)
    image.write_to_file(str(tmp_path / "in.jpg"))
    if ending == "heic":
        pytest.importorskip("pillow_heif")
    said = () if kept else (f"IPTC dropped: {ending.upper()} does not hold it",)
    assert restore_file(tmp_path / "in.jpg", tmp_path / f"out.{ending}").lost == said


def test_xmp_too_long_for_jpeg(tmp_path):
    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{'a' * 100_000}</x:xmpmeta>")
    picture().save(tmp_path / "in.png", pnginfo=texts)
    assert restore_file(tmp_path / "in.png", tmp_path / "out.jpg").lost == ("XMP dropped: JPEG does not hold it",)
    for ending in ("png", "webp", "tif", "avif"):
        assert restore_file(tmp_path / "in.png", tmp_path / f"out.{ending}").lost == ()


@pytest.mark.parametrize(
    "ending, said", [("jpg", "EXIF is above 64 KB"), ("png", "EXIF is above 64 KB"), ("tif", None)]
)
def test_exif_of_more_than_64_kb(ending, said, tmp_path):
    exif = Image.Exif()
    exif[MAKE] = "Maker"
    exif.get_ifd(0x8769)[0x927C] = b"M" * 70_000
    picture().save(tmp_path / "in.png", exif=exif)
    lost = restore_file(tmp_path / "in.png", tmp_path / f"out.{ending}").lost
    assert [said in text for text in lost] == ([True] if said else [])
