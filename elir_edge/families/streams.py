"""Which convolutions write, and which read, tensors whose channels may be rescaled together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass
class Stream:
    """Tensors of the same channels that are added to each other: who writes them, who reads them.

    ``ranges`` is the largest magnitude seen in each channel.
    """

    writers: list[nn.Conv2d] = field(default_factory=list)
    readers: list[nn.Conv2d] = field(default_factory=list)
    seen: list[nn.Module] = field(default_factory=list)
    ranges: Tensor | None = None

    def watch(self, module: nn.Module, given: object, output: Tensor) -> None:
        """A forward hook."""
        largest = output.abs().amax((0, 2, 3))
        self.ranges = largest if self.ranges is None else torch.maximum(self.ranges, largest)


@runtime_checkable
class HasStreams(Protocol):
    """A part of a model that says which of its tensors' channels may be rescaled."""

    def streams(self) -> Iterator[Stream]:
        """Streams that lie wholly inside the part: nothing outside reads or writes them."""
        ...
