"""Batches that depend on seed, step and rank only: a resumed run gets the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from elir_edge.training.tiles import saturate, turn

Degrade = Callable[[np.ndarray, Generator], np.ndarray]


@dataclass(frozen=True)
class BatchSource:
    """Source of batches: ``size`` crops of ``crop`` pixels from the tiles of ``store``, uint8 N x S x S x 3.

    ``degrade`` None: the clean crop is also the degraded one. ``saturation``: see ``tiles.saturate``.
    """

    store: np.ndarray
    degrade: Degrade | None
    size: int
    crop: int
    seed: int
    saturation: float = 1.0

    def batch(self, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """(degraded, clean), float32 N x 3 x crop x crop in [0, 1]."""
        pairs = [self._pair(np.random.default_rng((self.seed, step, rank, i))) for i in range(self.size)]
        degraded, clean = (np.stack(side) for side in zip(*pairs, strict=True))
        return _to_tensor(degraded), _to_tensor(clean)

    def _pair(self, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        tile = self.store[rng.integers(len(self.store))]
        top, left = rng.integers(tile.shape[0] - self.crop + 1, size=2)
        clean = turn(rng, np.asarray(tile[top : top + self.crop, left : left + self.crop]))
        clean = saturate(rng, clean, self.saturation)
        return (clean if self.degrade is None else self.degrade(clean, rng)), clean


class StepBatches(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches ``first``, ``first + 1``, ... without end, distributed over the loader's workers in turn."""

    def __init__(self, source: BatchSource, first: int = 0, rank: int = 0) -> None:
        self.source, self.first, self.rank = source, first, rank

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        step, stride = (self.first, 1) if worker is None else (self.first + worker.id, worker.num_workers)
        while True:
            yield self.source.batch(step, self.rank)
            step += stride


def _to_tensor(images: np.ndarray) -> Tensor:
    values = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return values.float().div_(255.0)
