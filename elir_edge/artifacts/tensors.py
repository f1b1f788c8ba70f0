"""Pictures and noise <-> tensors in the layout and type of a graph."""

from __future__ import annotations

import numpy as np

from elir_edge.artifacts.signature import NOISE, TensorSpec
from elir_edge.errors import DataError
from elir_edge.imaging.noise import draw_noise
from elir_edge.imaging.pixels import to_uint8

Feeds = dict[str, np.ndarray]


def graph_size(image: TensorSpec) -> tuple[int, int]:
    """(height, width) in pixels of an image tensor."""
    height, width = image.shape[2:] if image.layout == "NCHW" else image.shape[1:3]
    return height, width


def to_graph(pixels: np.ndarray, image: TensorSpec) -> np.ndarray:
    """Picture H x W x 3, uint8 or float, 0..255 -> the image tensor of a graph, batch axis included."""
    pixels = pixels.astype(np.float32, copy=False)
    values = pixels[None] if image.layout == "NHWC" else pixels.transpose(2, 0, 1)[None]
    if image.dtype == "uint8":
        return np.ascontiguousarray(to_uint8(values))
    return np.ascontiguousarray(values / np.float32(255))


def picture_of(restored: np.ndarray, tensor: TensorSpec) -> np.ndarray:
    """Image tensor of a graph -> H x W x 3 of the same type and value range."""
    return restored[0] if tensor.layout == "NHWC" else restored[0].transpose(1, 2, 0)


def from_graph(restored: np.ndarray, tensor: TensorSpec) -> np.ndarray:
    """Image tensor of a graph -> float32 H x W x 3 in 0..255. Raises DataError for NaN and infinity."""
    if not np.isfinite(restored).all():
        raise DataError(
            "the artifact gave NaN or infinite values for this picture",
            hint="elir-edge verify tells whether it does so on its golden picture too; export it in fp32",
        )
    return picture_of(restored, tensor).astype(np.float32) * np.float32(1 if tensor.dtype == "uint8" else 255)


def noise_for(tensor: TensorSpec, seed: int) -> np.ndarray:
    """Standard normal noise for ``tensor``. Values are drawn in N, C, H, W order: the same for every layout."""
    if tensor.layout == "NCHW":
        return draw_noise(seed, tensor.shape)
    n, h, w, c = tensor.shape
    return np.ascontiguousarray(draw_noise(seed, (n, c, h, w)).transpose(0, 2, 3, 1))


def feeds_of(inputs: list[TensorSpec], pixels: np.ndarray, seed: int = 0, noise: np.ndarray | None = None) -> Feeds:
    """All inputs of a graph by name, for a picture H x W x 3 of its size, uint8 or float, 0..255.

    ``noise`` is in the graph's layout; None draws it from ``seed``. Graphs without a noise input ignore both.
    """
    drawn = {t.name: noise_for(t, seed) if noise is None else noise for t in inputs if t.name == NOISE}
    return {t.name: drawn[t.name] if t.name in drawn else to_graph(pixels, t) for t in inputs}
