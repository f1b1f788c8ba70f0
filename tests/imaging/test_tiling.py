"""Tiles: a model that changes nothing changes nothing, at any size, and every pixel is computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elir_edge.artifacts.signature import IMAGE, RESTORED, TensorSpec
from elir_edge.imaging.tiling import DEFAULT_OVERLAP, run_tiled, tile_count, tile_starts
from elir_edge.runtime.base import Session
from elir_edge.runtime.restore import restore_picture

SIDES = st.integers(1, 150)
TILES = st.integers(1, 8).map(lambda n: 8 * n)


class CountedSession(Session):
    """Gives ``answer(image)``, and counts how often it was asked."""

    backend = "counted"

    def __init__(self, tile: tuple[int, int], answer, layout: str = "NCHW", dtype: str = "float32") -> None:
        shape = (1, 3, *tile) if layout == "NCHW" else (1, *tile, 3)
        super().__init__(
            [TensorSpec(IMAGE, shape, dtype, layout, "RGB")], [TensorSpec(RESTORED, shape, dtype, layout, "RGB")]
        )
        self.answer, self.asked = answer, 0

    def _run(self, feeds):
        self.asked += 1
        return {RESTORED: self.answer(feeds[IMAGE])}

    def _close(self) -> None:
        pass


def random_pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1009 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(deadline=None, max_examples=1000)
@given(SIDES, SIDES, st.tuples(TILES, TILES), st.integers(0, 40))
def test_an_identity_gives_the_picture_back_exactly(height, width, tile, overlap):
    pixels = random_pixels(height, width).astype(np.float32) * np.float32(1 / 255)
    shapes, told = set(), []

    def identity(part):
        shapes.add(part.shape)
        return part.copy()

    result = run_tiled(pixels, tile, identity, overlap, told.append)
    assert np.array_equal(result, pixels)
    assert shapes == {(*tile, 3)}
    assert sum(told) == tile_count(height, width, tile, overlap)


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
@given(SIDES, SIDES, st.integers(0, 255), st.sampled_from(["NCHW", "NHWC"]), st.sampled_from(["float32", "uint8"]))
def test_a_constant_graph_gives_a_constant_picture(height, width, value, layout, dtype):
    scale = np.float32(255) if dtype == "float32" else 1
    session = CountedSession((40, 48), lambda image: np.full_like(image, value / scale), layout, dtype)
    restored = restore_picture(session, random_pixels(height, width))
    assert restored.dtype == np.uint8
    assert np.array_equal(restored, np.full((height, width, 3), value))
    assert session.asked == tile_count(height, width, (40, 48))


@settings(deadline=None, max_examples=200)
@given(SIDES, SIDES, st.sampled_from(["NCHW", "NHWC"]), st.sampled_from(["float32", "uint8"]))
def test_restoring_with_an_identity_graph_keeps_every_byte(height, width, layout, dtype):
    pixels = random_pixels(height, width)
    assert np.array_equal(restore_picture(CountedSession((56, 64), lambda image: image, layout, dtype), pixels), pixels)


def test_values_out_of_range_are_clipped():
    for value, expected in ((-3.0, 0), (7.0, 255)):
        session = CountedSession((8, 8), lambda image, value=value: np.full_like(image, value))
        assert np.unique(restore_picture(session, random_pixels(5, 9))).tolist() == [expected]


def test_neighbours_fade_into_each_other():
    """Tiles that disagree meet without a step: each of the 32 shared pixels moves by one part in 32."""
    calls = iter([0.0, 1.0])
    result = run_tiled(np.zeros((64, 96, 3), np.float32), (64, 64), lambda part: np.full_like(part, next(calls)))
    row = result[0, :, 0]
    assert (row[:32] == 0).all() and (row[64:] == 1).all()
    assert np.allclose(np.diff(row[32:64]), 1 / DEFAULT_OVERLAP)


@pytest.mark.parametrize("height, width", [(1, 1), (63, 64), (64, 64), (65, 64), (1, 500)])
def test_no_tile_too_many(height, width):
    expected = {(1, 1): 1, (63, 64): 1, (64, 64): 1, (65, 64): 2, (1, 500): 15}
    assert tile_count(height, width, (64, 64)) == expected[height, width]
