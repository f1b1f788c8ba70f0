"""Figures and sheets against cases worked out by hand."""

import numpy as np
import pytest
import torch

from elir_edge.errors import DataError
from elir_edge.families.elir.spec import AutoencoderSpec, ElirSpec
from elir_edge.families.restorer import Restorer
from elir_edge.imaging.noise import draw_noise
from elir_edge.imaging.sheets import GAP, contact_sheet
from elir_edge.training.evaluate import Quality, centre, evaluate, quality, restorer_function, ssim, to_picture


def flat(value: int, height: int = 20, width: int = 24) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_ssim_of_flat_pictures_by_hand():
    # no variance: (2 a b + c1) / (a^2 + b^2 + c1), c1 = (0.01 * 255)^2
    c1 = 2.55**2
    assert ssim(flat(100), flat(150)) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rel=1e-6)
    assert ssim(flat(9), flat(9)) == pytest.approx(1.0)


@pytest.mark.parametrize("other", [flat(1, 20, 20), flat(1).astype(np.float32), flat(1)[..., :1]])
def test_pictures_that_cannot_be_compared_are_refused(other):
    with pytest.raises(DataError):
        quality(other, flat(1))


def test_pictures_smaller_than_the_window_of_ssim_are_refused():
    with pytest.raises(DataError, match="too small"):
        quality(flat(1, 10, 20), flat(1, 10, 20))
    assert quality(flat(1, 11, 20), flat(1, 11, 20)).ssim == pytest.approx(1.0)


def test_each_picture_has_noise_of_its_own_and_the_mean_is_one():
    def degrade(image, rng):
        return np.clip(image + rng.integers(-9, 9, image.shape), 0, 255).astype(np.uint8)

    pictures = {"a": flat(100), "b": flat(100), "c": flat(50)}
    done = []
    result = evaluate(pictures, degrade, lambda image: image, seed=4, done=lambda: done.append(1))
    again = evaluate(pictures, degrade, lambda image: image, seed=4)
    assert len(done) == 3
    assert result.scores == again.scores
    assert not np.array_equal(result.pictures[0][0], result.pictures[1][0])
    assert [score.name for score in result.scores] == ["a", "b", "c"]
    assert result.mean().restored.psnr == pytest.approx(sum(score.restored.psnr for score in result.scores) / 3)
    assert all(isinstance(score.degraded, Quality) for score in result.scores)


def test_pictures_that_the_task_leaves_as_they_are_do_not_decide_the_mean_psnr():
    """200 dB stands for no error: one picture of two would make 110 dB of 20."""
    pictures = {"a": flat(100), "b": flat(50)}
    result = evaluate(
        pictures, lambda image, rng: image if image[0, 0, 0] == 50 else image + 9, lambda image: image + 1
    )
    mean, touched = result.mean(), result.scores[0]
    assert result.untouched_count == 1
    assert (mean.degraded.psnr, mean.restored.psnr) == (touched.degraded.psnr, touched.restored.psnr)
    assert mean.restored.ssim == pytest.approx(np.mean([score.restored.ssim for score in result.scores]))
    clean = evaluate(pictures, lambda image, rng: image, lambda image: image)
    assert clean.untouched_count == 2 and clean.mean().restored.psnr == 200


def test_centre_is_the_largest_that_fits():
    image = np.arange(21 * 30 * 3, dtype=np.uint8).reshape(21, 30, 3)
    assert np.array_equal(centre(image, 8), image[2:18, 3:27])
    assert np.array_equal(centre(image, 8, side=9), image[6:14, 11:19])
    with pytest.raises(DataError):
        centre(image, 32)


def test_the_restorer_function_rounds_and_takes_its_noise_from_the_seed():
    torch.manual_seed(0)
    autoencoder = AutoencoderSpec(latent_channels=4, width=8, levels=1, blocks=1)
    model = Restorer(ElirSpec(size=32, autoencoder=autoencoder)).eval()
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    restored = restorer_function(model, seed=5)(image)
    noise = torch.from_numpy(draw_noise(5, model.spec.latent_shape(32, 32)))
    with torch.no_grad():
        direct = model(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, noise)
    assert restored.dtype == np.uint8
    assert np.abs(restored - direct[0].permute(1, 2, 0).numpy() * 255.0).max() <= 0.5 + 1e-3


def test_pictures_are_clipped_and_rounded():
    values = torch.tensor([-0.1, 0.5, 1.2])[:, None, None].expand(1, 3, 1, 1)
    assert to_picture(values)[0, 0].tolist() == [0, 128, 255]


def test_a_sheet_has_every_picture_in_its_cell_and_white_between():
    small, large = flat(10, 4, 6), flat(20, 5, 8)
    sheet = contact_sheet([[small, large], [large, small]])
    assert sheet.shape == (2 * 5 + GAP, 2 * 8 + GAP, 3)
    assert (sheet[:4, :6] == 10).all()
    assert (sheet[4, :6] == 255).all()
    assert (sheet[:5, 8 : 8 + GAP] == 255).all()
    assert (sheet[:5, 8 + GAP :] == 20).all()
    assert (sheet[5 + GAP :, :8] == 20).all()
