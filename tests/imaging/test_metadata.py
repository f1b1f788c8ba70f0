"""What comes with the pixels, damaged, rare, or kept by the project itself: EXIF, texts, descriptions of colours."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from elir_edge.imaging.insertion import BLOCK
from elir_edge.imaging.opening import open_picture
from elir_edge.imaging.png_chunks import insert_chunks, read_chunks
from elir_edge.imaging.tiff_exif import with_sides
from tests.imaging.files import (
    DATE,
    MAKE,
    ORIENTATION,
    TAKEN,
    exif,
    random_pixels,
    read_png,
    restore_file,
    swapped_profile,
    write_png,
)


def one_entry(tag: int, kind: int, count: int, data: bytes) -> bytes:
    """An EXIF block whose only entry besides the maker's is ``tag``, with a type of TIFF that it should not have."""
    inner = struct.pack("<HHHLL", 1, tag, kind, count, 56) + bytes(4)
    outer = struct.pack("<HHHL4sHHLL", 2, MAKE, 2, 3, b"me\0\0", 0x8769, 4, 1, 38) + bytes(4)
    return b"Exif\0\0" + (b"II*\0" + struct.pack("<L", 8) + outer + inner).ljust(56, b"\0") + data


DAMAGED = {
    "a directory that is a text": one_entry(0xA005, 2, 12, b"no directory"),
    "a version of floating point": one_entry(0x9000, 12, 2, bytes(range(1, 17))),
    "cut behind its mark": b"Exif\0\0II*\0",
    "zeros before its mark": b"Exif\0\0" + bytes(6) + exif()[6:],
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_exif_is_dropped_from_a_tiff_and_told(case, tmp_path):
    """The TIFF is as libvips left it, and no other picture of a folder is stopped."""
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.jpg", exif=DAMAGED[case])
    result = restore_file(tmp_path / "in.jpg", tmp_path / "out.tif")
    with open_picture(tmp_path / "out.tif") as out:
        assert (out.height, out.width) == (40, 30)
    assert result.lost == ("EXIF is dropped: damaged",)


def shooting_of(path) -> dict:
    """EXIF's own directory, beside that of the file."""
    if path.suffix != ".heic":
        with Image.open(path) as out:
            return out.getexif().get_ifd(0x8769)
    found = Image.Exif()
    found.load(pytest.importorskip("pillow_heif").open_heif(path).info["exif"])
    return found.get_ifd(0x8769)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "avif", "heic"])
def test_exif_states_the_sides_of_the_result(ending, tmp_path):
    """Upright, whatever those of the source were."""
    data = Image.Exif()
    data[ORIENTATION] = 6
    data.get_ifd(0x8769).update({0xA002: 300, 0xA003: 400, DATE: TAKEN})
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.jpg", exif=data)
    restore_file(tmp_path / "in.jpg", tmp_path / f"out.{ending}")
    found = shooting_of(tmp_path / f"out.{ending}")
    assert (found[0xA002], found[0xA003]) == (40, 30)
    assert found[DATE] == TAKEN


@pytest.mark.parametrize("block", [b"", b"Exif\0\0", exif()[:30], b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_sides_of_a_damaged_block_stay(block):
    assert with_sides(block, 3, 4) == block


# ---- chunks of PNG ---------------------------------------------------------------------------------------------------

XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>Grüße</rdf:RDF></x:xmpmeta>'
CICP = (b"cICP", bytes((12, 16, 0, 1)))  # Display P3, PQ
GAMMA = (b"gAMA", struct.pack(">L", 100_000))
CHROMA = (b"cHRM", struct.pack(">8L", 31270, 32900, 70800, 29200, 17000, 79700, 13100, 4600))
PLAIN = ((b"sRGB", b"\0"), (b"gAMA", struct.pack(">L", 45455)))


def add_chunks(path, *chunks):
    """Behind a PNG's header, by hand."""
    data = path.read_bytes()
    added = b"".join(struct.pack(">L", len(d)) + k + d + struct.pack(">L", zlib.crc32(k + d)) for k, d in chunks)
    path.write_bytes(data[:33] + added + data[33:])


def kinds_of(path) -> list[bytes]:
    data, place, found = path.read_bytes(), 8, []
    while place < len(data):
        found.append(data[place + 4 : place + 8])
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return found


@pytest.mark.parametrize("chunks", [(CICP,), (GAMMA, CHROMA), PLAIN])
def test_descriptions_of_colours_stay_in_png(chunks, tmp_path):
    write_png(tmp_path / "in.png", random_pixels(3, 16))
    add_chunks(tmp_path / "in.png", *chunks)
    assert restore_file(tmp_path / "in.png", tmp_path / "out.png").lost == ()
    assert read_chunks(tmp_path / "out.png") == chunks
    kinds = kinds_of(tmp_path / "out.png")
    assert kinds.index(chunks[0][0]) < kinds.index(b"IDAT")
    assert np.array_equal(read_png(tmp_path / "out.png"), read_png(tmp_path / "in.png"))


@pytest.mark.parametrize("chunks, named", [((CICP,), "cICP 12/16"), ((GAMMA, CHROMA), "gAMA, cHRM"), (PLAIN, None)])
def test_descriptions_of_colours_that_other_formats_lose_are_told(chunks, named, tmp_path):
    write_png(tmp_path / "in.png", random_pixels(3, 8))
    add_chunks(tmp_path / "in.png", *chunks)
    said = (f"colour description ({named}) dropped: only PNG and HEIC are written with one",) if named else ()
    assert restore_file(tmp_path / "in.png", tmp_path / "out.jpg").lost == said
    asked = restore_file(tmp_path / "in.png", tmp_path / "srgb.png", profile="srgb").lost
    assert [named in text and "only ICC profiles" in text for text in asked] == ([True] if named else [])


def test_colours_that_were_converted_have_no_description_of_others(tmp_path):
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.png", icc_profile=swapped_profile())
    add_chunks(tmp_path / "in.png", CICP)
    assert restore_file(tmp_path / "in.png", tmp_path / "out.png", profile="srgb").lost == ("converted to sRGB",)
    assert read_chunks(tmp_path / "out.png") == ()


def test_code_points_travel_between_png_and_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    smooth = np.repeat(np.linspace(0, 255, 64 * 48).reshape(64, 48, 1), 3, 2).astype(np.uint8)
    write_png(tmp_path / "in.png", smooth)
    add_chunks(tmp_path / "in.png", CICP)
    assert restore_file(tmp_path / "in.png", tmp_path / "a.heic").lost == ()
    assert restore_file(tmp_path / "a.heic", tmp_path / "b.heic").lost == ()
    stated = pillow_heif.open_heif(tmp_path / "b.heic").info["nclx_profile"]
    assert (stated["color_primaries"], stated["transfer_characteristics"]) == (12, 16)
    assert np.abs(np.asarray(pillow_heif.open_heif(tmp_path / "b.heic")).astype(int) - smooth).mean() < 3
    assert restore_file(tmp_path / "b.heic", tmp_path / "out.png").lost == ()
    assert read_chunks(tmp_path / "out.png") == (CICP,)


def test_code_points_of_avif_are_told(tmp_path):
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.avif")
    assert restore_file(tmp_path / "in.avif", tmp_path / "plain.avif").lost == ()
    data = (tmp_path / "in.avif").read_bytes()
    place = data.index(b"colrnclx") + 8
    (tmp_path / "in.avif").write_bytes(data[:place] + struct.pack(">HH", 12, 16) + data[place + 4 :])
    [said] = restore_file(tmp_path / "in.avif", tmp_path / "out.avif").lost
    assert "colour description (nclx 12/16) dropped" in said
    assert restore_file(tmp_path / "in.avif", tmp_path / "out.png").lost == ()
    assert read_chunks(tmp_path / "out.png") == (CICP,)


def test_texts_of_a_png_stay_as_they_are(tmp_path):
    texts = PngInfo()
    texts.add_itxt("Title", "Grüße 日本", lang="de", tkey="Titel")
    texts.add_text("Comment", "Größe")
    texts.add_text("long", "x" * 5000, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP)
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / "in.png", pnginfo=texts)
    assert restore_file(tmp_path / "in.png", tmp_path / "out.png").lost == ()
    assert [kind for kind, _ in read_chunks(tmp_path / "out.png")] == [b"iTXt", b"tEXt", b"zTXt"]
    assert read_chunks(tmp_path / "out.png") == read_chunks(tmp_path / "in.png")
    with Image.open(tmp_path / "in.png") as before, Image.open(tmp_path / "out.png") as after:
        assert after.text == before.text
    [said] = restore_file(tmp_path / "in.png", tmp_path / "out.jpg").lost
    assert said == "texts of the PNG dropped: only PNG keeps them"


@pytest.mark.parametrize("ending", ["jpg", "webp", "avif"])
def test_xmp_in_png_is_text_that_is_not_compressed(ending, tmp_path):
    Image.fromarray(random_pixels(3, 8)).save(tmp_path / f"in.{ending}", xmp=XMP.encode())
    assert restore_file(tmp_path / f"in.{ending}", tmp_path / "out.png").lost == ()
    with Image.open(tmp_path / "out.png") as out:
        assert out.info["xmp"].rstrip(b"\0") == XMP.encode()
    assert kinds_of(tmp_path / "out.png").count(b"iTXt") == 1 and b"zTXt" not in kinds_of(tmp_path / "out.png")


def test_what_is_behind_inserted_chunks_is_moved_whole(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, np.random.default_rng(0).integers(0, 256, (1000, 900, 3), dtype=np.uint8))
    before = path.read_bytes()
    assert len(before) > 2 * BLOCK
    with path.open("r+b") as file:
        insert_chunks(file, [CICP])
    after = path.read_bytes()
    assert after == before[:33] + after[33:49] + before[33:] and after[37:41] == b"cICP"
    path.write_bytes(after[:48] + bytes([after[48] ^ 1]) + after[49:])  # a wrong checksum
    assert read_chunks(path) == ()
