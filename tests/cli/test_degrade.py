"""elir-edge degrade: a sheet for every task, and what it refuses."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from elir_edge.cli.degrade import command
from elir_edge.errors import DataError, MissingInputError, OutputError, UsageError
from elir_edge.imaging.degradations import DEGRADATIONS


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(path)
    return path


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=True)


@pytest.mark.parametrize("task", sorted(DEGRADATIONS))
def test_every_task_gives_a_sheet_and_a_seed_gives_it_again(task, photo, tmp_path):
    first, again = tmp_path / "one.png", tmp_path / "two.png"
    result = run(photo, "--task", task, "-o", first, "--seed", 3, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    run(photo, "--task", task, "-o", again, "--seed", 3)
    assert first.read_bytes() == again.read_bytes()
    with Image.open(first) as sheet:
        assert sheet.size == (2 * report["width"] + 4, report["height"])


def test_draws_are_rows_of_their_own(photo, tmp_path):
    assert run(photo, "-o", tmp_path / "s.png", "--draws", 3).exit_code == 0
    sheet = np.asarray(Image.open(tmp_path / "s.png"))
    assert sheet.shape == (3 * 60 + 2 * 4, 2 * 80 + 4, 3)
    assert np.array_equal(sheet[:60, :80], sheet[64:124, :80])
    assert not np.array_equal(sheet[:60, 84:], sheet[64:124, 84:])


def test_a_picture_that_is_too_small_is_named(tmp_path):
    """It was told as an array of a wrong shape."""
    path = tmp_path / "icon.png"
    Image.fromarray(np.zeros((12, 40, 3), np.uint8)).save(path)
    error = run(path, "-o", tmp_path / "s.png").exception
    assert isinstance(error, DataError)
    assert f"{path}: 40 x 12 pixels are too small" in str(error) and "16 pixels a side" in error.hint


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("PHOTO", "-o", "OUT.png", "--task", "blur"), UsageError),
        (("PHOTO", "-o", "OUT.gif"), UsageError),
        (("PHOTO", "-o", "PHOTO", "--force"), UsageError),
        (("none.png", "-o", "OUT.png"), MissingInputError),
        (("PHOTO", "-o", "THERE.png"), OutputError),
    ],
)
def test_refusals_come_before_anything_is_written(arguments, error, photo, tmp_path):
    there = tmp_path / "THERE.png"
    there.write_bytes(b"kept")
    names = {"PHOTO": photo, "OUT.png": tmp_path / "OUT.png", "OUT.gif": tmp_path / "OUT.gif", "THERE.png": there}
    result = run(*(names.get(argument, argument) for argument in arguments))
    assert isinstance(result.exception, error)
    assert there.read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["THERE.png", "a photo.png"]
