"""Restoring pictures with a session, whatever form its graph has. Imports no torch."""

from __future__ import annotations

import numpy as np

from elir_edge.artifacts.signature import IMAGE, NOISE, RESTORED, TensorSpec
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import DataError, UsageError
from elir_edge.imaging.noise import draw_noise
from elir_edge.imaging.tiling import run_tiled, tile_count
from elir_edge.runtime.base import Session


def restore_picture(
    session: Session, pixels: np.ndarray, seed: int = 0, progress: Progress | None = None
) -> np.ndarray:
    """Restore uint8 H x W x 3 (RGB) of any size -> the same shape and type.

    Sizes other than the graph's are reflection-padded and cut into overlapping tiles. ``seed`` draws the noise where
    the graph takes it as an input. Raises UsageError where the session is not one of a restoration graph.
    """
    image = image_input(session)
    tile = graph_size(image)
    feeds = noise_feeds(session, seed)
    total = tile_count(pixels.shape[0], pixels.shape[1], tile)
    with (progress or Silent()).stage("restoring", total) as advance:
        restored = run_tiled(
            pixels.astype(np.float32),
            tile,
            lambda part: from_graph(session.run({IMAGE: to_graph(part, image), **feeds})[RESTORED], image),
            advance=advance,
        )
    return np.rint(restored).clip(0, 255).astype(np.uint8)


def image_input(session: Session) -> TensorSpec:
    """The session's image input. Raises UsageError where there is none of a known layout."""
    for tensor in session.inputs:
        if tensor.name == IMAGE and tensor.layout in ("NCHW", "NHWC"):
            return tensor
    raise UsageError(
        "the artifact states no 'image' input with a layout, so it is not one of elir-edge's",
        hint="export it with elir-edge export",
    )


def graph_size(image: TensorSpec) -> tuple[int, int]:
    """Height and width in pixels of an image tensor."""
    height, width = image.shape[2:] if image.layout == "NCHW" else image.shape[1:3]
    return height, width


def noise_feeds(session: Session, seed: int) -> dict[str, np.ndarray]:
    """Standard normal noise for graphs that take it as an input; nothing for others.

    Values are drawn in N, C, H, W order whatever the layout, so that all targets see the same noise.
    """
    return {tensor.name: noise_for(tensor, seed) for tensor in session.inputs if tensor.name == NOISE}


def noise_for(tensor: TensorSpec, seed: int) -> np.ndarray:
    """Standard normal noise of a tensor's shape, drawn in N, C, H, W order whatever its layout."""
    if tensor.layout == "NCHW":
        return draw_noise(seed, tensor.shape)
    n, h, w, c = tensor.shape
    return np.ascontiguousarray(draw_noise(seed, (n, c, h, w)).transpose(0, 2, 3, 1))


def to_graph(pixels: np.ndarray, image: TensorSpec) -> np.ndarray:
    """Float32 H x W x 3, 0..255 -> the graph's image."""
    values = pixels[None] if image.layout == "NHWC" else pixels.transpose(2, 0, 1)[None]
    if image.dtype == "uint8":
        return np.ascontiguousarray(np.rint(values).clip(0, 255).astype(np.uint8))
    return np.ascontiguousarray(values / np.float32(255))


def from_graph(restored: np.ndarray, image: TensorSpec) -> np.ndarray:
    """The graph's restored image -> float32 H x W x 3, 0..255. Raises DataError for NaN and infinity."""
    if not np.isfinite(restored).all():
        raise DataError("the artifact gave NaN or infinite values for this picture")
    values = restored[0] if image.layout == "NHWC" else restored[0].transpose(1, 2, 0)
    return values.astype(np.float32) * np.float32(1 if image.dtype == "uint8" else 255)
