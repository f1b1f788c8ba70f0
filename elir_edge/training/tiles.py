"""A memory-mapped store of square training tiles, drawn once before the first step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from elir_edge.core.files import damage_errors, files_of
from elir_edge.core.publish import open_in, publish, staging
from elir_edge.core.storage import allocate, storage_errors
from elir_edge.errors import DataError, MissingInputError
from elir_edge.imaging.file_formats import PICTURE_SUFFIXES
from elir_edge.imaging.photographs import TRAINING, load_photograph
from elir_edge.imaging.pictures import READ_SUFFIXES, read_picture
from elir_edge.training.dead_leaves import Fills, dead_leaves, texture_bank
from elir_edge.training.recipe import PictureFile

LEAVES_SIDE = 256
HELD_BYTES = 2**30  # of photographs in memory; a shape of dead leaves may need any of them, so none is decoded twice
MAPPED = "photographs.raw"


@dataclass(frozen=True)
class TileSpec:
    """``count`` tiles of ``side`` pixels; the share ``procedural`` is synthetic, the rest is cut from photographs.

    ``folder``, ``pictures``, ``packaged``: see ``DataRecipe``.
    """

    count: int = 12000
    side: int = 128
    procedural: float = 0.6
    packaged: bool = True
    folder: str | None = None
    pictures: tuple[PictureFile, ...] = ()


def training_pictures(spec: TileSpec, folder: Path | None = None) -> tuple[np.ndarray, ...]:
    """The photographs that tiles are cut from, uint8 H x W x 3.

    Those beyond ``HELD_BYTES`` are mapped from a new file in ``folder``, where that is given, and not held in memory.
    Raises MissingInputError for a folder or a picture that is not there, and where tiles are to be cut from photographs
    and there are none; DataError where the folder holds no picture, one is unreadable, or one is not what the recipe
    names.
    """
    if spec.folder is None and not spec.packaged and not spec.pictures and spec.procedural < 1.0:
        raise MissingInputError(
            f"{1 - spec.procedural:.0%} of the tiles are to be cut from photographs, and there are none",
            hint="--photographs FOLDER says where they are; a recipe with procedural: 1.0 or packaged: true needs none",
        )
    packaged = (load_photograph(photograph) for photograph in (TRAINING if spec.packaged else ()))
    pictures = itertools.chain(packaged, map(read_picture, find_pictures(spec)))
    return tuple(pictures) if folder is None else _map_beyond(pictures, folder)


def _map_beyond(pictures: Iterable[np.ndarray], folder: Path) -> tuple[np.ndarray, ...]:
    """One file for all: each map of its own would keep a file open."""
    held: list[np.ndarray] = []
    shapes: list[tuple[int, ...]] = []
    room = HELD_BYTES
    with open_in(folder, MAPPED) as file:
        for picture in pictures:
            room -= picture.nbytes
            if room >= 0:
                held.append(picture)
            else:
                shapes.append(picture.shape)
                file.write(np.ascontiguousarray(picture).data)
    if not shapes:
        return tuple(held)
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = np.split(np.memmap(folder / MAPPED, np.uint8, mode="r"), ends[:-1])
    return (*held, *(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))


def find_pictures(spec: TileSpec) -> list[Path]:
    """The files of photographs that tiles are cut from, beside the packaged ones. Raises as ``training_pictures``."""
    if spec.folder is None:
        if spec.pictures:
            raise MissingInputError(
                f"the recipe trains on {len(spec.pictures)} photographs that do not come with the package",
                hint="--photographs FOLDER says where they are; a folder of your own serves too",
            )
        return []
    root = Path(spec.folder)
    if not root.is_dir():
        raise MissingInputError(f"{root}: no such folder", hint="--photographs FOLDER says where the photographs are")
    if not spec.pictures:
        paths = _files_with(root, READ_SUFFIXES)
        if not paths:
            raise DataError(f"{root}: holds no picture", hint=f"looked for {', '.join(READ_SUFFIXES)}")
        return paths
    hint = "copy it there, or train on whatever is there with --any-photographs"
    return [picture.path_in(root, "the recipe", hint) for picture in spec.pictures]


def unread_pictures(spec: TileSpec) -> list[Path]:
    """Pictures of the folder that only ``restore`` reads (HEIC, AVIF, camera raw): no tiles are cut from them."""
    if spec.folder is None or spec.pictures:
        return []
    return _files_with(Path(spec.folder), set(PICTURE_SUFFIXES) - set(READ_SUFFIXES))


def _files_with(root: Path, suffixes: Collection[str]) -> list[Path]:
    return [path for path in files_of(root) if path.suffix.lower() in suffixes and path.is_file()]


def photograph_tile(rng: Generator, pictures: Sequence[np.ndarray], side: int) -> np.ndarray:
    """A tile of a random picture at a random scale, then ``turn`` and ``recolour``; uint8 side x side x 3."""
    from PIL import Image

    areas = np.array([picture.shape[0] * picture.shape[1] for picture in pictures], np.float64)
    picture = pictures[int(rng.choice(len(pictures), p=areas / areas.sum()))]
    height, width = picture.shape[:2]
    smallest = side / min(height, width)
    scale = max(smallest, rng.uniform(0.35, 1.0))
    window = min(int(side / scale), height, width)
    top, left = rng.integers(height - window + 1), rng.integers(width - window + 1)
    cut = Image.fromarray(picture[top : top + window, left : left + window])
    tile = np.asarray(cut.resize((side, side), Image.Resampling.BICUBIC))
    return recolour(rng, turn(rng, tile))


def turn(rng: Generator, tile: np.ndarray) -> np.ndarray:
    """Apply a random one of the eight symmetries of the square."""
    tile = np.rot90(tile, int(rng.integers(4)))
    return tile[:, ::-1] if rng.integers(2) else tile


def recolour(rng: Generator, tile: np.ndarray) -> np.ndarray:
    """Permute the channels with probability 1/2; change contrast, brightness and colour balance a little."""
    if rng.integers(2):
        tile = tile[:, :, rng.permutation(3)]
    gain = rng.uniform(0.7, 1.1) * (1.0 + rng.normal(0.0, 0.06, 3))
    shifted = tile * gain + rng.uniform(-10.0, 25.0)
    return np.clip(shifted + 0.5, 0, 255).astype(np.uint8)


def saturate(rng: Generator, tile: np.ndarray, most: float) -> np.ndarray:
    """Multiply the distance from grey by a log-uniform factor between 1 / ``most`` and ``most``; 1: no change."""
    if most == 1.0:
        return tile
    factor = np.float32(np.exp(rng.uniform(-np.log(most), np.log(most))))
    values = tile.astype(np.float32)
    grey = values.mean(2, keepdims=True)
    return np.clip(grey + factor * (values - grey) + 0.5, 0, 255).astype(np.uint8)


def draw_tile(rng: Generator, spec: TileSpec, fills: Fills) -> np.ndarray:
    """One tile, uint8 side x side x 3, synthetic with probability ``spec.procedural``."""
    if fills.photographs and rng.uniform() >= spec.procedural:
        return photograph_tile(rng, fills.photographs, spec.side)
    picture = dead_leaves(rng, max(LEAVES_SIDE, spec.side), fills)
    top, left = rng.integers(picture.shape[0] - spec.side + 1, size=2)
    return picture[top : top + spec.side, left : left + spec.side]


def tile_store(path: Path, spec: TileSpec, seed: int, drawn: Callable[[], None] = lambda: None) -> np.ndarray:
    """The store at ``path``, memory-mapped uint8 count x side x side x 3; it is drawn if the file does not exist.

    ``spec`` and ``seed`` decide every byte. ``drawn`` is called after each tile. Raises DataError for a store of
    another shape and for a damaged one, OutputError or StorageError where it cannot be written.
    """
    shape = (spec.count, spec.side, spec.side, 3)
    if not path.is_file():
        _draw_store(path, spec, seed, shape, drawn)
    with damage_errors(path, "the tiles are drawn again"):
        store: np.ndarray = np.load(path, mmap_mode="r")
    if store.shape != shape or store.dtype != np.uint8:
        raise DataError(
            f"{path}: holds {store.dtype} {store.shape}, the recipe asks for uint8 {shape}", hint="delete the file"
        )
    return store


def _draw_store(path: Path, spec: TileSpec, seed: int, shape: tuple[int, ...], drawn: Callable[[], None]) -> None:
    with staging(path, wait=True) as folder:
        if path.is_file():  # another machine of the same run has drawn it
            return
        fills = Fills(texture_bank(np.random.default_rng((seed, 0))), training_pictures(spec, folder))
        part = folder / path.name
        with storage_errors(path):
            store = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
            with part.open("r+b") as file:
                allocate(file.fileno(), part.stat().st_size)
        for index in range(spec.count):
            store[index] = draw_tile(np.random.default_rng((seed, 1, index)), spec, fills)
            drawn()
        with storage_errors(path):
            store.flush()
        publish(path, [part])
