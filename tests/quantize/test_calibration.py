"""Calibration pictures: how they are made, and which folders are refused."""

import numpy as np
import pytest
from PIL import Image

from elir_edge.artifacts.signature import GraphForm
from elir_edge.errors import ConfigError, DataError, MissingInputError, UsageError
from elir_edge.imaging.degradations import find_degradation
from elir_edge.imaging.kinds import KINDS, TONES, kind_of
from elir_edge.imaging.noise import NoiseContract
from elir_edge.imaging.pictures import PHOTOGRAPHS, builtin_photograph
from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration, task_of
from elir_edge.validation.trials import check_disjoint, gather_trials
from tests.helpers import refusal, save_picture


@pytest.fixture()
def folder(tmp_path):
    for i in range(5):
        save_picture(tmp_path / f"{i}.png", 80 + 9 * i, 90, seed=i)
    return tmp_path


def gather(spec, folder, **more):
    return gather_calibration(CalibrationRequest(folder, **more), spec, 64, 64)


def test_the_same_request_gives_the_same_pictures(tiny_spec, folder):
    first, again, other = (gather(tiny_spec, folder, seed=seed) for seed in (0, 0, 1))
    assert first.facts == again.facts != other.facts
    assert [picture.shape for picture in first.pictures] == [(64, 64, 3)] * 20
    assert all(np.array_equal(*pair) for pair in zip(first.pictures, again.pictures, strict=True))
    assert len({picture.tobytes() for picture in first.pictures}) == 20


def test_feeds_have_the_form_of_the_graph(tiny_spec, folder):
    calibration = gather(tiny_spec, folder, count=4)
    bytes_ = calibration.feeds(GraphForm(64, 64, NoiseContract.parse("zero"), "uint8", "NHWC", "NHWC"), tiny_spec)
    assert np.array_equal(bytes_[0]["image"][0], calibration.pictures[0])
    floats = calibration.feeds(GraphForm(64, 64, NoiseContract.parse("input")), tiny_spec)
    assert floats[0]["image"].shape == (1, 3, 64, 64) and floats[0]["image"].max() <= 1
    assert floats[0]["noise"].std() == pytest.approx(1, abs=0.1)
    assert not np.array_equal(floats[0]["noise"], floats[1]["noise"])


def test_folders_that_cannot_serve_are_refused(tiny_spec, folder, tmp_path):
    refusal(MissingInputError, lambda: gather(tiny_spec, folder / "nowhere"), "nowhere")
    (folder / "empty").mkdir()
    refusal(DataError, lambda: gather(tiny_spec, folder / "empty"), "holds no pictures")
    refusal(UsageError, lambda: gather(tiny_spec, folder, count=3), "too few")
    refusal(ConfigError, lambda: gather(tiny_spec, folder, task="restorashun"), "restoration")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:200])
    refusal(DataError, lambda: gather(tiny_spec, folder), "3.png")
    for i in range(2, 5):
        (folder / f"{i}.png").unlink()
    refusal(DataError, lambda: gather(tiny_spec, folder), "2 pictures are too few")


def test_pictures_of_one_colour_are_named(tiny_spec, folder):
    Image.new("RGB", (90, 90), "black").save(folder / "black.png")
    refusal(DataError, lambda: gather(tiny_spec, folder, count=12), "of one colour", "black.png")


def test_objects_before_a_plain_background_serve(tiny_spec, folder):
    """Most rectangles of such a picture are of one colour: others are drawn."""
    for i in range(5):
        page = np.full((80 + 9 * i, 90, 3), 255, np.uint8)
        page[4:12, 4:12] = np.random.default_rng(i).integers(0, 255, (8, 8, 3))
        Image.fromarray(page).save(folder / f"{i}.png")
    found = gather(tiny_spec, folder, task="none")
    assert sum(len(np.unique(picture)) > 1 for picture in found.pictures) > 0.8 * len(found.pictures)


def test_a_photograph_that_judges_may_not_calibrate(tiny_spec, folder):
    Image.fromarray(builtin_photograph("coffee")).save(folder / "mine.png")
    refusal(UsageError, lambda: check_disjoint(gather(tiny_spec, folder).sources), "mine.png", "coffee")


@pytest.mark.parametrize("quality", [95, 30])
def test_a_copy_of_it_in_jpeg_or_smaller_may_neither(tiny_spec, folder, quality):
    copy = Image.fromarray(builtin_photograph("chelsea"))
    copy.resize((copy.width // 2, copy.height // 2)).save(folder / "copy.jpg", quality=quality)
    refusal(UsageError, lambda: check_disjoint(gather(tiny_spec, folder).sources), "copy.jpg", "chelsea")


def test_built_in_photographs_are_none_of_those_that_judge(tiny_spec):
    check_disjoint(gather(tiny_spec, None, count=10).sources)


def test_pictures_of_every_kind_are_calibrated_on_unless_a_task_is_named(tiny_spec, folder):
    mixed, one = gather(tiny_spec, folder), gather(tiny_spec, folder, task="sr")
    assert set(mixed.facts["kinds"]) == set(KINDS) and sum(mixed.facts["kinds"].values()) == 20
    assert one.facts["kinds"] == {"task": 20} and one.facts["task"] == "sr"


def test_none_is_the_task_of_clean_pictures(tiny_spec, folder):
    assert all(len(np.unique(picture)) > 200 for picture in gather(tiny_spec, folder, task="none", count=4).pictures)
    clean = find_degradation("none")
    picture = builtin_photograph("coffee")
    assert np.array_equal(clean.apply(picture, np.random.default_rng(0)), picture)


def test_trials_are_photographs_of_every_kind_and_always_the_same():
    trials, again = gather_trials("restoration", 64, 96), gather_trials("restoration", 64, 96)
    kinds = [kind_of(name) for name in trials.degraded]
    assert kinds.count("task") == kinds.count("clean") == len(PHOTOGRAPHS)
    assert set(kinds) == {"task", "clean", *TONES}
    for name, degraded in trials.degraded.items():
        assert degraded.shape == (64, 96, 3) and np.array_equal(degraded, again.degraded[name])
        assert np.array_equal(degraded, trials.originals[name]) == (kind_of(name) == "clean")


def test_a_model_is_calibrated_on_its_own_task(tiny_spec):
    from elir_edge.families.spec import ModelSpec

    assert task_of(tiny_spec) == "restoration"
    assert task_of(ModelSpec.from_dict(tiny_spec.to_dict() | {"name": "sr"}, "here")) == "sr"
