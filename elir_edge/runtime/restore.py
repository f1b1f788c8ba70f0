"""Restoring pictures with a session of any graph form. Imports no torch."""

from __future__ import annotations

import numpy as np

from elir_edge.artifacts.signature import IMAGE, NOISE, RESTORED, TensorSpec
from elir_edge.artifacts.tensors import Feeds, feeds_of, from_graph, graph_size, noise_for, picture_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import UsageError
from elir_edge.imaging.tiling import run_tiled, tile_count
from elir_edge.runtime.base import Session


def restore_picture(
    session: Session, pixels: np.ndarray, seed: int = 0, progress: Progress | None = None
) -> np.ndarray:
    """Restore ``pixels``, uint8 H x W x 3 (RGB) of any size -> same shape and type.

    Pictures of another size than the graph's are padded by reflection and cut into overlapping tiles. ``seed`` draws
    the noise if that is an input. Raises UsageError where the session has no image input.
    """
    image = image_input(session)
    tile = graph_size(image)
    noise = noise_feeds(session, seed).get(NOISE)
    total = tile_count(pixels.shape[0], pixels.shape[1], tile)
    with (progress or Silent()).stage("restoring", total) as advance:
        restored = run_tiled(
            pixels.astype(np.float32),
            tile,
            lambda part: from_graph(session.run(feeds_of(session.inputs, part, noise=noise))[RESTORED], image),
            advance=advance,
        )
    return np.rint(restored).clip(0, 255).astype(np.uint8)


def run_picture(session: Session, pixels: np.ndarray, seed: int = 0, noise: np.ndarray | None = None) -> np.ndarray:
    """Run one picture of the graph's size, H x W x 3, 0..255 -> uint8 or float32 in [0, 1], as the graph's output.

    ``noise`` is in the graph's layout; None draws it from ``seed``.
    """
    image = image_input(session)
    return picture_of(session.run(feeds_of(session.inputs, pixels, seed, noise))[RESTORED], image)


def image_input(session: Session) -> TensorSpec:
    """The image input of ``session``. Raises UsageError where there is none with a known layout."""
    for tensor in session.inputs:
        if tensor.name == IMAGE and tensor.layout in ("NCHW", "NHWC"):
            return tensor
    raise UsageError(
        "the artifact states no 'image' input with a layout, so it is not one of elir-edge's",
        hint="export it with elir-edge export",
    )


def noise_feeds(session: Session, seed: int) -> Feeds:
    """The noise input by name, standard normal; empty for graphs without one.

    Values are drawn in N, C, H, W order, so that all layouts have the same noise.
    """
    return {tensor.name: noise_for(tensor, seed) for tensor in session.inputs if tensor.name == NOISE}
