"""What tiles cost: seams that nobody sees, noise that is one field, memory that does not grow with the picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from elir_edge.artifacts.signature import IMAGE, NOISE, RESTORED, TensorSpec
from elir_edge.imaging.noise import NoiseField, draw_noise
from elir_edge.imaging.tiling import Grid, Mosaic, alignment, cut
from elir_edge.runtime.base import Session
from elir_edge.runtime.restore import restore_picture
from tests.helpers import child_environment

LATENT = (4, 8, 8)


class NoiseSession(Session):
    """Shows its noise: what it gives is the first channel of the noise, scaled up to the picture's size."""

    backend = "noise"

    def __init__(self, layout: str = "NCHW") -> None:
        latent = (1, *LATENT) if layout == "NCHW" else (1, 8, 8, 4)
        shape = (1, 3, 32, 32) if layout == "NCHW" else (1, 32, 32, 3)
        self._layout = layout
        image = TensorSpec(IMAGE, shape, "float32", layout, "RGB")
        noise = TensorSpec(NOISE, latent, "float32", layout, "standard normal")
        super().__init__([image, noise], [TensorSpec(RESTORED, shape, "float32", layout, "RGB")])

    def _run(self, feeds):
        noise = feeds[NOISE][0, 0] if self._layout == "NCHW" else feeds[NOISE][0, ..., 0]
        shown = np.kron(noise * np.float32(0.1) + np.float32(0.5), np.ones((4, 4), np.float32))
        return {RESTORED: np.stack([shown] * 3, 0 if self._layout == "NCHW" else 2)[None]}

    def _close(self) -> None: ...


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_noise_is_one_field_for_the_whole_picture(layout):
    """Where tiles overlap they have the same noise, so that nothing is blended away: every cell of 4 x 4 is flat."""
    restored = restore_picture(NoiseSession(layout), np.zeros((96, 128, 3), np.uint8), seed=5)
    cells = restored[..., 0].reshape(24, 4, 32, 4).swapaxes(1, 2).reshape(24, 32, 16).astype(int)
    assert np.ptp(cells, axis=2).max() <= 1
    assert len(np.unique(cells[..., 0])) > 50
    first = draw_noise(5, (1, *LATENT))[0, 0]
    assert np.allclose(cells[:8, :8, 0], first * 25.5 + 127.5, atol=1)


def test_windows_of_a_field_agree():
    field = NoiseField(3, LATENT)
    assert np.array_equal(field.window(0, 0), draw_noise(3, (1, *LATENT)))
    whole = np.concatenate([field.window(0, 0), field.window(0, 8)], axis=3)
    assert np.array_equal(field.window(0, 5), whole[..., 5:13])
    assert np.array_equal(field.window(6, 5)[:, :, 2:], field.window(8, 5)[:, :, :6])
    assert not np.array_equal(field.window(0, 0), NoiseField(4, LATENT).window(0, 0))


@pytest.mark.parametrize(("tile", "expected"), [((256, 256), 32), ((64, 64), 16), ((48, 40), 8), ((7, 9), 1)])
def test_tiles_start_at_multiples_of_the_network_s_stride(tile, expected):
    assert alignment(tile) == expected
    grid = Grid(333, 517, tile)
    assert all(start % expected == 0 for start in (*grid.tops, *grid.lefts))


def seam_gradient(tiled: np.ndarray, whole: np.ndarray, grid: Grid) -> float:
    """Gradient across the columns where tiles begin or end, over that of all others; both over the whole's there.

    Without the whole picture's own gradients the figure would be that of what the photograph shows in those columns.
    """
    there, wanted = (np.abs(np.diff(one.astype(np.float64), axis=1)).mean(axis=(0, 2)) for one in (tiled, whole))
    edges = {edge for left in grid.lefts for edge in (left, left + grid.tile[1])}
    seams = np.isin(np.arange(1, tiled.shape[1]), list(edges))
    return float((there[seams].sum() / wanted[seams].sum()) / (there[~seams].sum() / wanted[~seams].sum()))


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [16, 32, 64])
def test_seams_of_the_default_model(overlap):
    """Against the same model in one piece: 45 dB, and no larger gradient across seams than 1.05 times the inside's."""
    from elir_edge import load_restorer, lower, open_session
    from elir_edge.imaging.comparison import picture_psnr
    from elir_edge.imaging.pictures import builtin_photograph
    from elir_edge.runtime.restore import run_picture

    photograph = builtin_photograph("chelsea")[:288, :448]
    noisy = photograph + np.random.default_rng(0).normal(0, 25, photograph.shape)
    pixels = np.rint(noisy).clip(0, 255).astype(np.uint8)
    model = load_restorer("nano")
    grid = Grid(*pixels.shape[:2], (128, 128), overlap)
    with open_session(lower(model, 128)) as session:
        tiled = restore_picture(session, pixels, overlap=overlap)
    with open_session(lower(model, pixels.shape[:2])) as session:
        whole = np.rint(run_picture(session, pixels) * 255).clip(0, 255)
    assert grid.count > 4
    assert picture_psnr(tiled, whole.astype(np.uint8)) >= 45
    assert seam_gradient(tiled, whole, grid) <= 1.05


MEASURE = """
import resource, sys
from pathlib import Path
from elir_edge.runtime.batch import run_pictures
from elir_edge.runtime.settings import Settings
from tests.sessions import IdentitySession
for source in sys.argv[1:]:
    [result] = run_pictures([(Path(source), Path(source + ".out.tif"))], [IdentitySession(side=64)], "", Settings())
    assert result.error is None, result.error
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts in other units elsewhere")
def test_memory_grows_by_the_bytes_of_the_picture(tmp_path):
    """From 1 to 25 megapixels: 72 MB more for the picture itself, and a few rows."""
    from elir_edge.imaging.libvips import load_library

    pyvips = load_library()
    sources = []
    for side in (1000, 5000):
        sources.append(str(tmp_path / f"{side}.jpg"))
        (pyvips.Image.xyz(side, side) % 256).cast("uchar").bandjoin(100).copy(interpretation="srgb").write_to_file(
            sources[-1]
        )
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *sources], env=child_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    small, large = map(int, done.stdout.split())
    own = (5000 * 5000 - 1000 * 1000) * 3 / 2**20
    assert large - small < own + 60, (small, large)
    assert Path(sources[1] + ".out.tif").stat().st_size > 0


def test_cutting_holds_one_row_of_tiles():
    """Rows are read once, from top to bottom, and never more than one row of tiles ahead of what is finished."""
    grid = Grid(1000, 50, (32, 32))
    asked: list[tuple[int, int]] = []

    def read(top, count):
        asked.append((top, count))
        return np.zeros((count, 50, 3), np.uint8)

    mosaic, finished = Mosaic(grid), 0
    for tile in cut(grid, read):
        rows = mosaic.add(tile.pixels.astype(np.float32))
        finished += 0 if rows is None else len(rows)
        assert sum(count for _, count in asked) - finished <= 2 * 32
    assert [top for top, _ in asked] == list(np.cumsum([0, *(count for _, count in asked)])[:-1])
    assert finished == 1000
