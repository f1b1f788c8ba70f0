"""Degradations: a seed decides everything, sizes and ranges hold, and each does what its description says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elir_edge.errors import ConfigError, DataError
from elir_edge.imaging import blind, pixels
from elir_edge.imaging.degradations import DEGRADATIONS, degrade, inpainting, restoration, square, sr


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth colour, so that noise can be told from it."""
    y, x = np.mgrid[0:height, 0:width]
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    return (127 + 50 * np.sin(y[..., None] / 9 + x[..., None] / 11 + phase)).astype(np.uint8)


def flat(value: int, side: int = 256) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(DEGRADATIONS)), st.integers(0, 2**32), st.integers(16, 70), st.integers(16, 70))
def test_a_seed_decides_everything_and_the_size_is_kept(task, seed, height, width):
    image = picture(1, height, width)
    clean, first = degrade(image, task, seed)
    _, again = degrade(image.copy(), task, seed)
    assert np.array_equal(first, again)
    assert first.dtype == np.uint8
    assert first.shape == clean.shape
    side = DEGRADATIONS[task].size
    assert clean.shape == (image.shape if side is None else (side, side, 3))


@pytest.mark.parametrize("task", sorted(set(DEGRADATIONS) - {"none"}))
def test_another_seed_gives_another_picture_and_the_input_stays(task):
    image = picture(2, 64, 64)
    before = image.copy()
    assert not np.array_equal(degrade(image, task, 1)[1], degrade(image, task, 2)[1])
    assert np.array_equal(image, before)


def test_denoising_adds_a_third_of_full_scale():
    noisy = degrade(flat(128), "denoising", 0)[1].astype(float)
    # what clipping at 0 and 255 leaves of a standard deviation of 89.6, by integrating over the normal density
    x = np.linspace(-800, 800, 160001)
    clipped = np.clip(x, -128, 127)
    left = np.sqrt((clipped**2 * np.exp(-0.5 * (x / 89.6) ** 2)).sum() / np.exp(-0.5 * (x / 89.6) ** 2).sum())
    assert noisy.std() == pytest.approx(left, rel=0.01)
    assert abs(noisy.mean() - 128) < 1


def test_sr_repeats_every_pixel_of_an_eighth():
    blocks = sr(flat(100), np.random.default_rng(0)).reshape(32, 8, 32, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert blocks[:, 0, :, 0].astype(float).std() == pytest.approx(12.8, rel=0.05)


def test_inpainting_hides_nine_pixels_in_ten_in_all_channels_before_the_noise(monkeypatch):
    monkeypatch.setattr("elir_edge.imaging.degradations.add_noise", lambda image, sigma, rng: image)
    masked = inpainting(flat(200, 100), np.random.default_rng(3))
    hidden = (masked == 0).all(2)
    assert hidden.sum() == 9000
    assert (masked[~hidden] == 200).all()


def test_the_default_task_stays_within_its_noise():
    stds = [restoration(flat(128, 64), np.random.default_rng(i)).astype(float).std() for i in range(200)]
    assert 40 < max(stds) < 57
    assert 0.10 < np.mean(np.array(stds) < 1) < 0.25, "clean pictures, and those that only went through JPEG"
    assert np.median(stds) == pytest.approx(17, abs=6)


def test_bfr_removes_what_is_fine_and_keeps_the_mean():
    checks = np.zeros((512, 512, 3), np.uint8)
    checks[::2, ::2] = checks[1::2, 1::2] = 255
    out = degrade(checks, "bfr", 5)[1].astype(float)
    assert out.mean() == pytest.approx(127.5, abs=6)
    assert out.std() < 60


def test_noise_has_the_standard_deviation_asked_for():
    noisy = pixels.add_noise(flat(128), 20.0, np.random.default_rng(0)).astype(float)
    assert noisy.std() == pytest.approx(20.0, rel=0.01)


def test_blur_of_a_point_has_the_width_asked_for():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    values = pixels.blur(point, 2.0).astype(float)[:, :, 0]
    assert values[20, 20] == round(255 / (2 * np.pi * 4))
    assert values[20, 22] == pytest.approx(255 / (2 * np.pi * 4) * np.exp(-0.5), abs=1)


def test_blur_ends_at_its_taps():
    point = np.zeros((81, 81, 3), np.uint8)
    point[40, 40] = 255
    wide = pixels.blur(np.where(point > 0, 255, 0).astype(np.uint8).repeat(1, 0), 0.5, taps=3)
    assert (wide[38] == 0).all()
    assert wide[39, 40, 0] > 0


def test_resizing_keeps_constants_and_nearest_takes_centres():
    assert (pixels.resize(flat(77, 32), 9, 13, "bicubic") == 77).all()
    ramp = np.repeat(np.arange(8, dtype=np.uint8)[:, None, None], 8, 1).repeat(3, 2)
    assert list(pixels.resize(ramp, 2, 2, "nearest")[:, 0, 0]) == [2, 6]


@pytest.mark.parametrize("kind", blind.KERNELS)
def test_blur_kernels_have_sum_one_and_are_centred(kind):
    kernel = blind.blur_kernel(11, 1.5, 0.7, 0.4, kind, 1.3)
    assert kernel.sum() == pytest.approx(1.0)
    assert np.allclose(kernel, kernel[::-1, ::-1])
    assert kernel.argmax() == 60


def test_a_gaussian_kernel_falls_off_as_it_must_along_its_axes():
    kernel = blind.blur_kernel(9, 2.0, 1.0, 0.0, "gaussian", 1.0)
    assert kernel[4, 6] / kernel[4, 4] == pytest.approx(np.exp(-0.5))
    assert kernel[5, 4] / kernel[4, 4] == pytest.approx(np.exp(-0.5))


def test_the_sinc_keeps_what_is_below_its_cutoff_and_stops_what_is_above():
    kernel = blind.sinc_kernel(21, np.pi / 2)
    frequencies = np.abs(np.fft.fft2(kernel, (256, 256)))
    assert frequencies[20, 0] == pytest.approx(1.0, abs=0.1)  # 0.16 pi
    assert frequencies[110, 0] < 0.1  # 0.86 pi


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(16, 90), st.integers(16, 90))
def test_blind_gives_a_quarter(seed, height, width):
    small = blind.blind_x4(picture(0, height, width), np.random.default_rng(seed))
    assert small.shape == (height // 4, width // 4, 3)
    assert small.dtype == np.uint8


def test_poisson_noise_grows_with_the_signal():
    class Fixed:
        """A generator whose coin flips ask for colour Poisson noise of strength 1."""

        def __init__(self):
            self.rng = np.random.default_rng(0)

        def uniform(self, low=0.0, high=1.0):
            return 1.0 if high > 1.0 else 0.9

        def poisson(self, signal):
            return self.rng.poisson(signal)

    dark, bright = (blind._noise(flat(v), blind.FIRST, Fixed()).astype(float).std() for v in (25, 196))
    assert dark == pytest.approx(5.0, rel=0.03)
    assert bright == pytest.approx(14.0, rel=0.03)


def test_square_takes_the_centre():
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 20:60] = 200
    assert (square(image, 40) == 200).all()


def test_an_unknown_task_is_named_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match="denosing") as caught:
        degrade(picture(0), "denosing", 0)
    assert "denoising" in caught.value.hint


@pytest.mark.parametrize(
    "image", [np.zeros((20, 20, 3), np.float32), np.zeros((20, 20), np.uint8), np.zeros((8, 90, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(DataError):
        degrade(image, "sr", 0)
