"""Calibration folders that cannot serve: each is refused before anything is converted, and the picture is named."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import save_picture
from tests.robustness.faults import Fault, assert_refused

EXPORT = ("export", "-p", "tiny.yaml", "--precision", "int8", "-o", "old.onnx", "--force", "--calibrate", "photos")


def photos(folder: Path, count: int = 6) -> Path:
    (folder / "photos").mkdir()
    for i in range(count):
        save_picture(folder / "photos" / f"{i:03d}.png", 70, 80, seed=i)
    return folder / "photos"


def with_file(name: str, content: bytes, count: int, folder: Path) -> None:
    (photos(folder, count) / name).write_bytes(content)


def with_picture(colour: tuple[int, int, int], size: tuple[int, int], folder: Path) -> None:
    Image.new("RGB", size, colour).save(photos(folder) / "one.png")


def with_loop(folder: Path) -> None:
    (photos(folder) / "loop.png").symlink_to("loop.png")


def with_lost_link(folder: Path) -> None:
    (photos(folder) / "lost.png").symlink_to("../nowhere.png")


LINES = {
    "empty": (65, lambda folder: (folder / "photos").mkdir(), "photos", "holds no pictures"),
    "three pictures": (65, partial(photos, count=3), "photos", "3 pictures are too few", "4 to 2000"),
    "one corrupt in 300": (65, partial(with_file, "150.png", b"text", 300), "150.png", "not a picture"),
    "one corrupt, the last by name": (65, partial(with_file, "zzz.png", b"\x89PNG\r\n", 30), "zzz.png"),
    "black": (65, partial(with_picture, (0, 0, 0), (90, 90)), "one.png", "one colour", "remove them"),
    "one colour that is not grey": (65, partial(with_picture, (9, 200, 30), (90, 90)), "one.png", "one colour"),
    "one pixel": (65, partial(with_picture, (9, 200, 30), (1, 1)), "one.png", "one colour"),
    "a link that loops": (65, with_loop, "loop.png", "lead nowhere"),
    "a link to nothing": (65, with_lost_link, "lost.png", "lead nowhere"),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_refused(line, place, run):
    code, prepare, *named = LINES[line]
    assert_refused(Fault(code, EXPORT, tuple(named), prepare), place, run)


COUNTS = {"too few": ("3", "too few"), "a billion": ("1000000000", "too many"), "none": ("0", "too few")}


@pytest.mark.parametrize("line", COUNTS)
def test_numbers_of_pictures(line, place, run):
    count, said = COUNTS[line]
    assert_refused(Fault(2, (*EXPORT, "--calibration-pictures", count), (count, said), photos), place, run)


def test_a_folder_that_is_not_there(place, run):
    assert_refused(Fault(66, EXPORT, ("photos", "no such folder")), place, run)


def test_a_link_to_a_picture_elsewhere_is_followed(tiny_spec, tmp_path):
    """Data sets are kept as links; only the picture's pixels are used, and its digest is in the manifest."""
    from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration

    folder = photos(tmp_path, 4)
    save_picture(tmp_path / "outside.png", 70, 80, seed=9)
    (folder / "z.png").symlink_to("../outside.png")
    found = gather_calibration(CalibrationRequest(folder, count=10), tiny_spec, 64, 64)
    assert set(found.sources) == {"000.png", "001.png", "002.png", "003.png", "z.png"}
    assert all(np.ptp(picture) > 0 for picture in found.pictures)
