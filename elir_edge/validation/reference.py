"""Results of the PyTorch model in the form in which sessions of artifacts give them."""

from __future__ import annotations

import numpy as np
import torch

from elir_edge.families.base import RESTORED
from elir_edge.families.restorer import Restorer, Trajectory
from elir_edge.imaging.comparison import picture_psnr
from elir_edge.imaging.noise import NoiseContract, draw_noise


def reference_trajectory(restorer: Restorer, pixels: np.ndarray, noise: NoiseContract, seed: int = 0) -> Trajectory:
    """All stages for ``pixels``, uint8 H x W x 3. ``seed`` draws the noise where ``noise`` says it is an input."""
    image = to_tensor(pixels)
    shape = restorer.spec.latent_shape(*pixels.shape[:2])
    if noise.mode == "zero":
        eps = torch.zeros(shape)
    else:
        eps = torch.from_numpy(draw_noise(noise.seed if noise.seed is not None else seed, shape))
    with torch.inference_mode():
        return restorer.trajectory(image, eps)


def reconstruction_db(restorer: Restorer, pixels: np.ndarray) -> float | None:
    """PSNR in dB of the autoencoder's own reconstruction of ``pixels``, uint8 H x W x 3: the bound of fidelity.

    None for families without such a bound.
    """
    image = to_tensor(pixels)
    with torch.inference_mode():
        rebuilt = restorer.spec.family.reconstruct(restorer, image)
    return None if rebuilt is None else picture_psnr(picture_of(rebuilt, "uint8"), pixels)


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 H x W x 3 -> float32 1 x 3 x H x W in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255))


def picture_of(restored: torch.Tensor, io: str) -> np.ndarray:
    """``restored``, 1 x 3 x H x W, as H x W x 3: float32 in [0, 1], or uint8, rounded as graphs of io uint8 do."""
    values = restored[0].permute(1, 2, 0)
    return (values * 255).round().to(torch.uint8).numpy() if io == "uint8" else values.float().numpy()


def stages_of(trajectory: Trajectory) -> dict[str, np.ndarray]:
    """The stages before the restored image by name, each 1 x C x h x w."""
    return {name: tensor.numpy() for name, tensor in trajectory.values.items() if name != RESTORED}
