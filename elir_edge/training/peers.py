"""Denoisers to measure beside: they are told the noise level, and take and give H x W x 3 of about 0..255."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elir_edge.errors import DataError, UsageError, did_you_mean, missing_package
from elir_edge.families.checkpoint import load_into, read_content
from elir_edge.families.tensor_names import only_tensors

Denoiser = Callable[[np.ndarray, float], np.ndarray]
NAMES = ("nlm", "cbm3d", "ffdnet=FILE")
STRENGTH, PATCH, DISTANCE = 0.6, 5, 6


def find_peer(text: str) -> tuple[str, Denoiser]:
    """``nlm``, ``cbm3d`` or ``ffdnet=FILE`` -> its name for a table, and the denoiser.

    Raises UsageError for another name, UnavailableError for a missing package, and what ``ffdnet`` raises.
    """
    kind, _, path = text.partition("=")
    if kind == "nlm":
        return "non-local means", non_local_means
    if kind == "cbm3d":
        return "CBM3D", cbm3d
    if kind == "ffdnet" and path:
        return "FFDNet", ffdnet(Path(path))
    raise UsageError(f"there is no peer '{text}'", hint=did_you_mean(text, NAMES))


def non_local_means(image: np.ndarray, sigma: float) -> np.ndarray:
    """scikit-image's, colour, fast mode, patches of 5 within 6 pixels, strength 0.6 sigma."""
    from skimage.restoration import denoise_nl_means

    if sigma == 0:
        return image
    level = sigma / 255
    options = {"sigma": level, "fast_mode": True, "channel_axis": 2}
    return denoise_nl_means(image / 255.0, PATCH, DISTANCE, STRENGTH * level, **options) * 255


def cbm3d(image: np.ndarray, sigma: float) -> np.ndarray:
    """Colour BM3D of package ``bm3d`` (Makinen, Azzari, Foi, TIP 2020), its default profile."""
    try:
        import bm3d
    except ImportError as error:
        raise missing_package("bm3d", "peers") from error
    return bm3d.bm3d_rgb(image / 255.0, sigma / 255) * 255 if sigma else image


def ffdnet(path: Path) -> Denoiser:
    """FFDNet, colour (Zhang, Zuo, Zhang, TIP 2018), with the weights of a state dict at ``path``.

    Raises MissingInputError for a missing file, DataError for one that is not such a state dict.
    """
    network = FFDNet()
    state = only_tensors(read_content(path), str(path))
    named = {name.partition("itermediate_dncnn.")[2] or name: value for name, value in state.items()}
    try:
        load_into(network.layers, named, str(path))
    except DataError as error:
        raise DataError(str(error), hint="give the weights of FFDNet in colour, as a state dict") from error
    network.eval()

    def denoise(image: np.ndarray, sigma: float) -> np.ndarray:
        values = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)) / 255
        with torch.inference_mode():
            return network(values, sigma / 255)[0].permute(1, 2, 0).numpy() * 255

    return denoise


class FFDNet(nn.Module):
    """Twelve 3x3 convolutions at half the resolution, the noise level as three more channels."""

    def __init__(self, width: int = 96, middle: int = 10) -> None:
        super().__init__()
        inner = [layer for _ in range(middle) for layer in (_conv(width, width), nn.BatchNorm2d(width), nn.ReLU())]
        self.layers = nn.Sequential(_conv(15, width), nn.ReLU(), *inner, _conv(width, 12))

    def forward(self, image: Tensor, sigma: float) -> Tensor:
        """``image`` N x 3 x H x W in [0, 1], any H and W; ``sigma`` on the same scale."""
        height, width = image.shape[2:]
        even = functional.pad(image, (0, width % 2, 0, height % 2), mode="reflect")
        low = functional.pixel_unshuffle(even, 2)
        noise = functional.pixel_shuffle(self.layers(torch.cat([torch.full_like(low[:, :3], sigma), low], 1)), 2)
        return (even - noise)[:, :, :height, :width]


def _conv(cin: int, cout: int) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 3, padding=1, bias=False)
