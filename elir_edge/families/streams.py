"""Streams: tensors whose channels may be rescaled together, with the convolutions that write and read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass
class Stream:
    """Tensors that are added to each other, so that a channel has one scale in all of them.

    ``writers`` and ``readers`` are convolutions, transposed ones too; ``seen`` are the modules whose outputs are
    observed; ``ranges`` is the largest magnitude observed in each channel.
    """

    writers: list[nn.Module] = field(default_factory=list)
    readers: list[nn.Module] = field(default_factory=list)
    seen: list[nn.Module] = field(default_factory=list)
    ranges: Tensor | None = None

    def add(self, other: Stream) -> None:
        """Make ``other``'s convolutions part of this stream."""
        self.writers += other.writers
        self.readers += other.readers
        self.seen += other.seen

    def watch(self, module: nn.Module, given: object, output: Tensor) -> None:
        """Forward hook that updates ``ranges`` with the output, N x C x H x W."""
        largest = output.abs().amax((0, 2, 3))
        self.ranges = largest if self.ranges is None else torch.maximum(self.ranges, largest)


@runtime_checkable
class HasStreams(Protocol):
    """A part of a model that knows its streams."""

    def streams(self) -> Iterator[Stream]:
        """Streams inside the part: nothing outside reads or writes them."""
        ...
