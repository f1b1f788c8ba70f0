"""What comes with the pixels, damaged, rare, or kept by the project itself: EXIF, texts, descriptions of colours."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from elir_edge.imaging.opening import open_picture
from tests.imaging.files import MAKE, exif, random_pixels, restore_file


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
