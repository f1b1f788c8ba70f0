"""Restoring pictures with a session of any graph form. Imports no torch."""

from __future__ import annotations

import numpy as np

from elir_edge.artifacts.signature import IMAGE, NOISE, RESTORED, TensorSpec
from elir_edge.artifacts.tensors import Feeds, feeds_of, from_graph, graph_size, noise_for, picture_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import UsageError
from elir_edge.imaging.levels import as_channels, from_levels, to_levels
from elir_edge.imaging.noise import NoiseField
from elir_edge.imaging.tiling import DEFAULT_OVERLAP, Grid, Mosaic, Tile, cut
from elir_edge.runtime.base import Session
from elir_edge.runtime.settings import Settings


def restore_picture(
    session: Session,
    pixels: np.ndarray,
    seed: int = 0,
    progress: Progress | None = None,
    overlap: int = DEFAULT_OVERLAP,
) -> np.ndarray:
    """Restore ``pixels``, uint8 or uint16 H x W or H x W x 1 to 4 channels, of any size -> same shape and type.

    Pictures of another size than the graph's are padded by reflection and cut into tiles that share ``overlap`` pixels
    or more. ``seed`` draws the noise if that is an input. Raises UsageError for other arrays, another ``seed``
    or ``overlap`` than ``Settings`` and the tiles allow, and where the session has no image input.
    """
    shaped, tile_size = as_channels(pixels), graph_size(image_input(session))
    settings = Settings(seed=seed, overlap=overlap)
    check_overlap(settings.overlap, tile_size)
    grid = Grid(shaped.shape[0], shaped.shape[1], tile_size, settings.overlap)
    mosaic, field, finished = Mosaic(grid), noise_field(session, settings.seed), []
    with (progress or Silent()).stage("restoring", grid.count) as advance:
        for tile in cut(grid, lambda top, count: shaped[top : top + count]):
            rows = mosaic.add(restore_tile(session, tile, field))
            if rows is not None:
                finished.append(from_levels(rows, shaped.dtype))
            advance(1)
    return np.concatenate(finished).reshape(pixels.shape)


def check_overlap(overlap: int, tile: tuple[int, int]) -> None:
    """Raise UsageError unless tiles of this size can share ``overlap`` pixels."""
    most = min(tile) // 2
    if not 0 <= overlap <= most and overlap != Settings.overlap:
        raise UsageError(
            f"an overlap of {overlap} pixels; tiles of {tile[0]} x {tile[1]} allow 0 to {most}",
            hint="choose a value in this range",
        )


def restore_tile(session: Session, tile: Tile, field: NoiseField | None, restore_alpha: bool = False) -> np.ndarray:
    """One tile, uint8 or uint16 th x tw x channels -> float32 0..255 of the same shape.

    Channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. Grey is repeated for the graph, and is the mean of the
    three restored channels. Alpha is passed through, or restored as a grey picture of its own.
    """
    levels = to_levels(tile.pixels)
    colours = 3 if levels.shape[2] >= 3 else 1
    noise = None if field is None else _noise_of(session, tile, field)
    parts = [_run_channels(session, levels[..., :colours], noise)]
    if levels.shape[2] > colours:
        alpha = levels[..., colours:]
        parts.append(_run_channels(session, alpha, noise) if restore_alpha else alpha)
    return np.concatenate(parts, axis=2)


def _run_channels(session: Session, levels: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
    image = image_input(session)
    colour = np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels
    restored = from_graph(session.run(feeds_of(session.inputs, colour, noise=noise))[RESTORED], image)
    return restored if levels.shape[2] == 3 else restored.mean(axis=2, keepdims=True, dtype=np.float64).astype("f4")


def noise_field(session: Session, seed: int) -> NoiseField | None:
    """The noise for all tiles of one picture; None where the graph takes none."""
    for tensor in session.inputs:
        if tensor.name == NOISE:
            shape = tensor.shape[1:] if tensor.layout == "NCHW" else (tensor.shape[3], *tensor.shape[1:3])
            channels, height, width = shape
            return NoiseField(seed, (channels, height, width))
    return None


def _noise_of(session: Session, tile: Tile, field: NoiseField) -> np.ndarray:
    """The field's window for ``tile``, in the layout of the graph. Tiles start at multiples of the latent's stride."""
    height, width = graph_size(image_input(session))
    _, rows, columns = field.shape
    window = field.window(tile.top * rows // height, tile.left * columns // width)
    layout = next(tensor.layout for tensor in session.inputs if tensor.name == NOISE)
    return window if layout == "NCHW" else np.ascontiguousarray(window.transpose(0, 2, 3, 1))


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
