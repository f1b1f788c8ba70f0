"""Sensor noise: its statistics, and that the picture stays."""

import numpy as np
import pytest

from elir_edge.imaging.camera import camera_noise, sensor_noise

SIDE = 128


def noise(level, shot=1e-2, read=1e-2, seed=0):
    flat = np.full((SIDE, SIDE, 3), level, np.uint8)
    return sensor_noise(flat, shot, read, np.random.default_rng(seed)).astype(np.float64) - level


def test_neighbours_are_correlated_as_after_demosaicking():
    values = noise(128)[..., 1]
    along = np.corrcoef(values[:, :-1].ravel(), values[:, 1:].ravel())[0, 1]
    far = np.corrcoef(values[:, :-4].ravel(), values[:, 4:].ravel())[0, 1]
    assert along > 0.3
    assert abs(far) < 0.05


def test_the_mean_stays_and_the_tone_curve_makes_shadows_noisier():
    assert np.abs(noise(128).mean((0, 1))).max() < 1.5
    assert noise(40, shot=1e-4).std() > 1.5 * noise(200, shot=1e-4).std()


def test_more_shot_noise_is_more_noise():
    stds = [noise(128, shot, 1e-3).std() for shot in (1e-4, 1e-3, 1e-2)]
    assert stds[0] < stds[1] < stds[2]


def test_without_noise_the_picture_comes_back_with_its_detail():
    picture = np.random.default_rng(1).integers(0, 256, (32, 33, 3), dtype=np.uint8)
    assert np.abs(sensor_noise(picture, 0.0, 0.0, np.random.default_rng(0)).astype(int) - picture).max() <= 1


@pytest.mark.parametrize("seed", range(3))
def test_all_chance_comes_from_the_generator(seed):
    picture = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    first, again = (camera_noise(picture, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, camera_noise(picture, np.random.default_rng(seed + 1)))
