"""Quality of restored pictures: PSNR, SSIM, and LPIPS where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import fmean

import numpy as np
import torch
from numpy.random import Generator

from elir_edge.errors import DataError, UnavailableError
from elir_edge.families.restorer import Restorer
from elir_edge.imaging.comparison import IDENTICAL_DB, picture_psnr
from elir_edge.imaging.noise import draw_noise
from elir_edge.imaging.photographs import EVALUATION, load_photograph
from elir_edge.validation.reference import picture_of, to_tensor

SSIM_SIDE = 11  # 3.5 standard deviations of 1.5 pixels to each side

Restore = Callable[[np.ndarray], np.ndarray]
Degrade = Callable[[np.ndarray, Generator], np.ndarray]


@dataclass(frozen=True)
class Quality:
    """``psnr`` in dB (200 for equal pictures), ``ssim``, and ``lpips`` (AlexNet) or None where it is not installed."""

    psnr: float
    ssim: float
    lpips: float | None = None


@dataclass(frozen=True)
class Score:
    """Quality of one picture against its original, before and after restoration."""

    name: str
    degraded: Quality
    restored: Quality

    @property
    def is_untouched(self) -> bool:
        """Whether the degraded picture is the original."""
        return self.degraded.psnr == IDENTICAL_DB


@dataclass(frozen=True)
class Evaluation:
    """``scores``, and the pictures in the same order as (degraded, restored, original), uint8 H x W x 3."""

    scores: tuple[Score, ...]
    pictures: tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]

    @property
    def untouched_count(self) -> int:
        """Number of pictures that the degradation left as they were."""
        return sum(score.is_untouched for score in self.scores)

    def mean(self) -> Score:
        """The means over all pictures; those of PSNR without untouched ones, unless all are.

        An untouched picture has 200 dB, which stands for no error: a few of them would decide the mean.
        """
        counted = [score for score in self.scores if not score.is_untouched] or self.scores
        sides = (
            mean_quality([side(s) for s in self.scores], [side(s) for s in counted])
            for side in (attrgetter("degraded"), attrgetter("restored"))
        )
        return Score("mean", *sides)


def evaluation_photographs() -> dict[str, np.ndarray]:
    """The photographs that training does not use, uint8 H x W x 3 by name."""
    return {photograph.name: load_photograph(photograph) for photograph in EVALUATION}


def centre(image: np.ndarray, multiple: int, side: int | None = None) -> np.ndarray:
    """The centre of ``image``; sides are the largest multiples of ``multiple``, at most ``side`` pixels.

    Raises DataError where a side would be 0.
    """
    height, width = (min(length, side or length) // multiple * multiple for length in image.shape[:2])
    if not height or not width:
        raise DataError(
            f"a picture of {image.shape[1]} x {image.shape[0]} is smaller than {multiple} pixels",
            hint="take larger pictures",
        )
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def evaluate(
    pictures: Mapping[str, np.ndarray],
    degrade: Degrade,
    restore: Restore,
    seed: int = 0,
    done: Callable[[], None] = lambda: None,
    keep: bool = True,
) -> Evaluation:
    """Degrade each of ``pictures``, restore it, and compare with the original.

    ``degrade(image, generator)`` and ``restore(image)`` map uint8 H x W x 3 to the same shape; the generator is seeded
    by ``seed`` and the index of the picture. ``done`` is called after each picture. ``keep`` False: the result has the
    scores alone, no pictures.
    """
    scores, shown = [], []
    for index, (name, original) in enumerate(pictures.items()):
        degraded = degrade(original, np.random.default_rng((seed, index)))
        restored = restore(degraded)
        scores.append(Score(name, quality(degraded, original), quality(restored, original)))
        if keep:
            shown.append((degraded, restored, original))
        done()
    return Evaluation(tuple(scores), tuple(shown))


def quality(image: np.ndarray, original: np.ndarray) -> Quality:
    """Quality of ``image`` against ``original``, uint8 H x W x 3.

    Raises DataError for unequal shapes or types, and for pictures smaller than the window of SSIM.
    """
    if image.shape != original.shape or image.dtype != np.uint8 or original.dtype != np.uint8:
        raise DataError(
            f"cannot compare {image.dtype} {image.shape} with {original.dtype} {original.shape}",
            hint="both have to be uint8 H x W x 3 of one size",
        )
    refuse_small(image)
    return Quality(picture_psnr(image, original), ssim(image, original), lpips(image, original))


def refuse_small(image: np.ndarray) -> None:
    """Raise DataError for a picture, H x W x 3, that is smaller than the window of SSIM."""
    if min(image.shape[:2]) < SSIM_SIDE:
        raise DataError(
            f"pictures of {image.shape[1]} x {image.shape[0]} pixels are too small for SSIM",
            hint=f"take {SSIM_SIDE} pixels a side at least",
        )


def ssim(image: np.ndarray, original: np.ndarray) -> float:
    """SSIM (Wang et al., IEEE TIP 13, 2004) with a Gaussian window of 1.5 pixels, mean over pixels and channels."""
    from skimage.metrics import structural_similarity

    value = structural_similarity(
        image, original, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(value)


def lpips(image: np.ndarray, original: np.ndarray) -> float | None:
    """LPIPS (Zhang et al., CVPR 2018), or None where the package or its weights are missing; nothing is downloaded."""
    try:
        network = _lpips_network()
    except UnavailableError:
        return None
    pair = [to_tensor(picture) * 2.0 - 1.0 for picture in (image, original)]
    with torch.inference_mode():
        return float(network(*pair))


def restorer_function(model: Restorer, seed: int = 0) -> Restore:
    """``model`` as a function of uint8 H x W x 3 pictures; ``seed`` draws the noise, the same for each picture."""

    def restore(image: np.ndarray) -> np.ndarray:
        noise = torch.from_numpy(draw_noise(seed, model.spec.latent_shape(*image.shape[:2])))
        with torch.inference_mode():
            return to_picture(model(to_tensor(image), noise))

    return restore


def restore_any(model: Restorer, degraded: np.ndarray, seed: int = 0) -> np.ndarray:
    """H x W x 3 of 0..255, uint8 or float, any size -> float32, the same shape, 0..255.

    Reflected up to the next size that the model takes, and cut back. ``seed`` draws the flow's noise.
    """
    height, width = degraded.shape[:2]
    multiple = model.spec.size_multiple
    below, right = -height % multiple, -width % multiple
    padded = np.pad(degraded, ((0, below), (0, right), (0, 0)), mode="reflect").astype(np.float32)
    noise = torch.from_numpy(draw_noise(seed, model.spec.latent_shape(*padded.shape[:2])))
    with torch.inference_mode():
        restored = model(torch.from_numpy(padded.transpose(2, 0, 1)[None]) / 255, noise)
    return restored[0].permute(1, 2, 0).numpy()[:height, :width] * 255


def to_picture(image: torch.Tensor) -> np.ndarray:
    """1 x 3 x H x W in [0, 1] -> uint8 H x W x 3, rounded."""
    return picture_of(image.clamp(0.0, 1.0), "uint8")


def mean_quality(values: Sequence[Quality], of_psnr: Sequence[Quality] | None = None) -> Quality:
    """The mean of each figure; LPIPS over those that have it, PSNR over ``of_psnr`` where that is given."""
    distances = [v.lpips for v in values if v.lpips is not None]
    psnr = fmean(v.psnr for v in of_psnr or values)
    return Quality(psnr, fmean(v.ssim for v in values), fmean(distances) if distances else None)


def _lpips_network() -> torch.nn.Module:
    from importlib import util
    from pathlib import Path

    if util.find_spec("lpips") is None:
        raise UnavailableError("LPIPS needs the package 'lpips'", hint="pip install lpips")
    backbone = Path(torch.hub.get_dir()) / "checkpoints"
    if not any(backbone.glob("alexnet-*.pth")):
        raise UnavailableError(
            f"{backbone}: holds no AlexNet weights, which LPIPS needs",
            hint="torchvision.models.alexnet(weights='DEFAULT') fetches them there",
        )
    import lpips as package

    return package.LPIPS(net="alex", verbose=False).eval()
