"""Kinds of pictures: what each does to the tones, and how a name tells its kind."""

import numpy as np
import pytest

from elir_edge.imaging.degradations import find_degradation
from elir_edge.imaging.kinds import KINDS, TONES, kind_of, label_of, picture_of_kind
from elir_edge.imaging.pictures import builtin_photograph
from elir_edge.imaging.pixels import resize
from elir_edge.imaging.thumbnails import shows_the_same, thumbnail_of


@pytest.fixture(scope="module")
def photograph():
    return resize(builtin_photograph("coffee"), 96, 128, "bicubic")


def test_tones_are_what_their_names_say(photograph):
    found = {name: tone(photograph).astype(float) for name, tone in TONES.items()}
    spread = {name: (picture.max(2) - picture.min(2)).mean() for name, picture in found.items()}
    assert found["dark"].max() <= 64 and found["dark"].std() > 5
    assert (found["bright"] == 255).mean() > 0.1 > (photograph == 255).mean()
    assert spread["saturated"] > 1.5 * (photograph.max(2).astype(float) - photograph.min(2)).mean()
    assert found["flat"].std((0, 1)).max() < 0.15 * photograph.std((0, 1)).max()


@pytest.mark.parametrize("kind", KINDS)
def test_degradation_goes_with_the_kind(photograph, kind):
    original, degraded = picture_of_kind(kind, photograph, find_degradation("denoising"), np.random.default_rng(0))
    error = np.abs(original.astype(float) - degraded).mean()
    low, high = {"clean": (0, 0), "task": (30, 100), "strong": (30, 100)}.get(kind, (3, 25))
    assert low <= error <= high and degraded.dtype == np.uint8


def test_a_name_tells_its_kind():
    assert [kind_of(label_of("a, b.png", kind)) for kind in KINDS] == list(KINDS)
    assert kind_of("astronaut") is kind_of("clean") is kind_of("a, clean.png") is None


def test_photographs_differ_in_their_thumbnails(photograph):
    smaller = resize(photograph, 60, 80, "bicubic")
    assert shows_the_same(thumbnail_of(photograph), thumbnail_of(smaller))
    assert not shows_the_same(thumbnail_of(photograph), thumbnail_of(photograph[:, ::-1]))
    assert not shows_the_same(thumbnail_of(photograph), thumbnail_of(builtin_photograph("chelsea")))
