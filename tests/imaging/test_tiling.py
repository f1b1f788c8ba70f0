"""Tiles: a model that changes nothing changes nothing, at any size, and every pixel is computed."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elir_edge.core.progress import Silent
from elir_edge.imaging.tiling import DEFAULT_OVERLAP, tile_count, tile_starts
from elir_edge.runtime.restore import restore_picture
from tests.sessions import IdentitySession

SIDES = st.integers(1, 150)
TILES = st.integers(1, 8).map(lambda n: 8 * n)
LAYOUTS, DTYPES = st.sampled_from(["NCHW", "NHWC"]), st.sampled_from(["float32", "uint8"])


class Told(Silent):
    """Keeps the steps that it is told."""

    def __init__(self) -> None:
        self.steps: list[float] = []

    @contextmanager
    def stage(self, text, total=None):
        yield self.steps.append


def random_pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1009 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.slow
@settings(deadline=None, max_examples=1000)
@given(SIDES, SIDES, st.tuples(TILES, TILES), st.integers(0, 40), LAYOUTS, DTYPES)
def test_restoring_with_an_identity_graph_keeps_every_value(height, width, tile, overlap, layout, dtype):
    pixels, overlap = random_pixels(height, width), min(overlap, min(tile) // 2)
    deep = pixels.astype(np.uint16) * 256 + 128 if dtype == "float32" else pixels
    session, told = IdentitySession(dtype, side=tile, layout=layout), Told()
    assert np.array_equal(restore_picture(session, deep, progress=told, overlap=overlap), deep)
    assert session.asked == tile_count(height, width, tile, overlap) == sum(told.steps)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 3000), st.integers(1, 300), st.integers(0, 150))
def test_tiles_cover_everything_and_share_the_overlap(more, tile, overlap):
    overlap = min(overlap, tile // 2)
    length = tile + more
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0 and starts[-1] == length - tile
    steps = np.diff(starts)
    assert (steps > 0).all() and (steps <= tile - overlap).all()
    assert len(starts) == 1 + -(-more // (tile - overlap)), "no tile too many"


@settings(deadline=None, max_examples=100)
@given(SIDES, SIDES, st.integers(0, 255), LAYOUTS, DTYPES)
def test_a_constant_graph_gives_a_constant_picture(height, width, value, layout, dtype):
    scale = np.float32(255) if dtype == "float32" else 1
    session = IdentitySession(dtype, lambda image: np.full_like(image, value / scale), (40, 48), layout)
    restored = restore_picture(session, random_pixels(height, width))
    assert restored.dtype == np.uint8
    assert np.array_equal(restored, np.full((height, width, 3), value))
    assert session.asked == tile_count(height, width, (40, 48))


def test_values_out_of_range_are_clipped():
    for value, expected in ((-3.0, 0), (7.0, 255)):
        session = IdentitySession(function=lambda image, value=value: np.full_like(image, value), side=8)
        assert np.unique(restore_picture(session, random_pixels(5, 9))).tolist() == [expected]


def test_neighbours_fade_into_each_other():
    """Tiles that disagree meet without a step: each of the 32 shared pixels moves by one part in 32."""
    calls = iter([0.0, 1.0])
    session = IdentitySession(function=lambda image: np.full_like(image, next(calls)), side=64)
    row = restore_picture(session, np.zeros((64, 96, 3), np.uint16))[0, :, 0] / 65535
    assert (row[:32] == 0).all() and (row[64:] == 1).all()
    assert np.allclose(np.diff(row[32:64]), 1 / DEFAULT_OVERLAP, atol=1 / 65535)


@pytest.mark.parametrize("height, width", [(1, 1), (63, 64), (64, 64), (65, 64), (1, 500)])
def test_no_tile_too_many(height, width):
    expected = {(1, 1): 1, (63, 64): 1, (64, 64): 1, (65, 64): 2, (1, 500): 15}
    assert tile_count(height, width, (64, 64)) == expected[height, width]
