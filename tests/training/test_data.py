"""Procedural pictures, tiles and batches: drawn from the seed alone, and of the statistics they claim."""

import dataclasses
import errno
import itertools
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from elir_edge.core.files import sha256_of
from elir_edge.core.lock import Beside
from elir_edge.errors import DataError, MissingInputError, StorageError
from elir_edge.imaging.degradations import restoration
from elir_edge.imaging.photographs import EVALUATION, TRAINING, load_photograph
from elir_edge.training import tiles
from elir_edge.training.batches import BatchSource, StepBatches
from elir_edge.training.dead_leaves import Fills, LeafSpec, dead_leaves, draw_radius, power_noise, texture_bank
from elir_edge.training.recipe import PictureFile
from elir_edge.training.tiles import TileSpec, photograph_tile, tile_store, training_pictures, unread_pictures
from tests.helpers import refusal


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def fills() -> Fills:
    return Fills(texture_bank(rng(), 2))


def test_training_and_evaluation_share_no_photograph():
    names = {photograph.name.split("_")[0] for photograph in TRAINING} & {p.name.split("_")[0] for p in EVALUATION}
    assert names == set()
    assert {"astronaut", "chelsea", "coffee", "rocket"} <= {photograph.name for photograph in EVALUATION}
    assert len(EVALUATION) >= 6


@pytest.mark.parametrize("photograph", TRAINING + EVALUATION, ids=lambda p: p.name)
def test_photographs_are_where_they_are_said_to_be(photograph):
    image = load_photograph(photograph)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert min(image.shape[:2]) >= 256


def test_dead_leaves_depend_on_the_generator_alone():
    first, again, other = (dead_leaves(rng(seed), 64, fills()) for seed in (1, 1, 2))
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_leaf_sizes_follow_the_power_law():
    spec = LeafSpec(smallest=1.0, largest=1e6, exponent=3.0)
    generator = rng()
    radii = np.array([draw_radius(generator, spec) for _ in range(20000)])
    # P(radius > r) = r^-2
    for radius in (2.0, 4.0):
        assert (radii > radius).mean() == pytest.approx(radius**-2, rel=0.1)
    assert radii.min() >= 1.0


@pytest.mark.parametrize("exponent", [0.5, 1.5])
def test_power_noise_falls_off_as_asked(exponent):
    noise = power_noise(rng(), 256, exponent)
    power = np.abs(np.fft.rfft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    bands = np.geomspace(0.02, 0.4, 7)
    means = [power[(frequency >= a) & (frequency < b)].mean() for a, b in itertools.pairwise(bands)]
    slope = np.polyfit(np.log(np.sqrt(bands[1:] * bands[:-1])), np.log(means), 1)[0]
    assert slope == pytest.approx(-2 * exponent, abs=0.15)
    assert noise.std() == pytest.approx(1.0, abs=1e-4)


def test_spectra_of_leaves_are_like_those_of_photographs():
    """Power of natural images falls about as frequency^-2; white noise and single flat colours are far from it."""
    slopes = []
    for seed in range(6):
        grey = dead_leaves(rng(seed), 256, fills()).mean(2)
        grey = (grey - grey.mean()) * np.hanning(256)[:, None] * np.hanning(256)[None]
        power = np.abs(np.fft.fft2(grey)) ** 2
        radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None]) * 256
        bands = [(4, 8), (8, 16), (16, 32), (32, 64)]
        means = [power[(radius >= a) & (radius < b)].mean() for a, b in bands]
        slopes.append(np.polyfit(np.log([6, 12, 24, 48]), np.log(means), 1)[0])
    assert -3.5 < np.median(slopes) < -1.5


def test_the_store_is_drawn_once_and_from_the_seed(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.fromarray(rng(5).integers(0, 255, (90, 70, 3), dtype=np.uint8)).save(tmp_path / "pictures" / "noise.png")
    spec = TileSpec(count=6, side=32, procedural=0.5, folder=str(tmp_path / "pictures"))
    drawn = []
    first = tile_store(tmp_path / "a.npy", spec, 1, lambda: drawn.append(1))
    other = tile_store(tmp_path / "b.npy", spec, 1)
    assert len(drawn) == 6
    assert np.array_equal(first, other)
    tile_store(tmp_path / "a.npy", spec, 1, lambda: drawn.append(1))
    assert len(drawn) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "b.npy", "pictures"]
    with pytest.raises(DataError, match="holds uint8"):
        tile_store(tmp_path / "a.npy", TileSpec(count=7, side=32, folder=spec.folder), 1)


def test_photograph_tiles_come_from_the_photographs_alone():
    red = np.zeros((200, 100, 3), np.uint8)
    red[..., 0] = 200
    tile = photograph_tile(rng(3), [red], 48)
    assert tile.shape == (48, 48, 3)
    assert (tile == tile[0, 0]).all()


def folder(path):
    return TileSpec(packaged=False, folder=str(path))


def test_named_pictures_are_read_and_others_refused(tmp_path):
    Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(tmp_path / "a.png")
    named = PictureFile("a.png", sha256_of(tmp_path / "a.png"))
    spec = dataclasses.replace(folder(tmp_path), pictures=(named,))
    assert [picture.shape for picture in training_pictures(spec)] == [(40, 40, 3)]
    with pytest.raises(DataError, match="sha256 differs"):
        training_pictures(dataclasses.replace(spec, pictures=(PictureFile("a.png", "0" * 64),)))
    with pytest.raises(MissingInputError, match=r"b\.png"):
        training_pictures(dataclasses.replace(spec, pictures=(PictureFile("b.png", "0" * 64),)))
    with pytest.raises(MissingInputError, match="1 photographs that do not come"):
        training_pictures(dataclasses.replace(spec, folder=None))


def test_tiles_of_photographs_need_some():
    """They were all dead leaves without a word."""
    none = TileSpec(packaged=False, procedural=0.25)
    refusal(MissingInputError, lambda: training_pictures(none), "75% of the tiles", "--photographs")
    assert training_pictures(dataclasses.replace(none, procedural=1.0)) == ()


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(MissingInputError):
        training_pictures(folder(tmp_path / "none"))
    (tmp_path / "text.txt").write_text("no")
    with pytest.raises(DataError, match="no picture"):
        training_pictures(folder(tmp_path))
    (tmp_path / "broken.png").write_text("no")
    with pytest.raises(DataError, match=r"broken\.png"):
        training_pictures(folder(tmp_path))


def test_hidden_files_are_no_photographs_and_what_only_restore_reads_is_counted(tmp_path):
    """macOS puts ._a.jpg, which is no picture, beside each file on a foreign disk: they ended training."""
    pixels = np.full((40, 40, 3), 9, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for name in ("._a.png", "b.HEIC", "c.dng", "._b.heic"):
        (tmp_path / name).write_text("no")
    assert [picture.shape for picture in training_pictures(folder(tmp_path))] == [(40, 40, 3)]
    assert [path.name for path in unread_pictures(folder(tmp_path))] == ["b.HEIC", "c.dng"]
    assert unread_pictures(TileSpec()) == []


@pytest.fixture
def none_needed():
    """Tiles that are quick to draw."""
    return TileSpec(count=2, side=8, procedural=1.0, packaged=False)


@pytest.mark.parametrize("length", [0, 60, 200])
def test_a_damaged_store_is_named(length, none_needed, tmp_path):
    path = tmp_path / "tiles.npy"
    tile_store(path, none_needed, 1)
    path.write_bytes(path.read_bytes()[:length])
    refusal(DataError, lambda: tile_store(path, none_needed, 1), str(path), "delete it; the tiles are drawn again")


def test_a_full_disk_is_told_before_tiles_are_drawn(none_needed, tmp_path, monkeypatch):
    """The store was mapped before it had its place on the disk: SIGBUS ended the program."""

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    refusal(StorageError, lambda: tile_store(tmp_path / "tiles.npy", none_needed, 1), "tiles.npy", "free some space")
    assert list(tmp_path.iterdir()) == []


def test_photographs_beyond_what_memory_may_hold_are_mapped_and_give_the_same_tiles(tmp_path, monkeypatch):
    """All photographs of a folder were held decoded."""
    (tmp_path / "photographs").mkdir()
    for seed, name in enumerate("abc"):
        pixels = rng(seed).integers(0, 255, (40 + seed, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photographs" / f"{name}.png")
    spec = TileSpec(count=4, side=16, procedural=0.5, packaged=False, folder=str(tmp_path / "photographs"))
    plain = tile_store(tmp_path / "plain.npy", spec, 1)
    monkeypatch.setattr(tiles, "HELD_BYTES", 40 * 50 * 3)
    mapped = training_pictures(spec, tmp_path)
    assert [isinstance(picture, np.memmap) for picture in mapped] == [False, True, True]
    assert all(np.array_equal(one, other) for one, other in zip(mapped, training_pictures(spec), strict=True))
    assert np.array_equal(tile_store(tmp_path / "mapped.npy", spec, 1), plain)


def test_what_a_killed_run_left_of_its_tiles_goes(none_needed, tmp_path):
    left = Beside(tmp_path / "tiles.npy").part
    left.mkdir()
    (left / "tiles.npy").write_bytes(b"half")
    tile_store(tmp_path / "tiles.npy", none_needed, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["tiles.npy"]


def source(degrade=restoration) -> BatchSource:
    store = np.stack([dead_leaves(rng(seed), 48, fills()) for seed in range(4)])
    return BatchSource(store, degrade, size=3, crop=32, seed=9)


def test_batches_pair_a_picture_with_itself_degraded():
    degraded, clean = source().batch(4)
    assert degraded.shape == clean.shape == (3, 3, 32, 32)
    assert degraded.dtype == clean.dtype == torch.float32
    assert degraded.min() >= 0.0 and degraded.max() <= 1.0
    assert not torch.equal(degraded, clean)
    untouched, same = source(None).batch(4)
    assert torch.equal(untouched, same)


def test_batches_depend_on_step_and_rank_alone():
    one, again = source().batch(7), source().batch(7)
    assert torch.equal(one[0], again[0]) and torch.equal(one[1], again[1])
    assert not torch.equal(one[1], source().batch(8)[1])
    assert not torch.equal(one[1], source().batch(7, rank=1)[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_later_start_goes_on_where_an_earlier_one_would_be(workers):
    loader = DataLoader(StepBatches(source(), first=5), batch_size=None, num_workers=workers)
    for step, (degraded, _) in zip(range(5, 9), loader, strict=False):
        assert torch.equal(degraded, source().batch(step)[0])
