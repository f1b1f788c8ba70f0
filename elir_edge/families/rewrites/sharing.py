"""Rewrites of weights that several modules share: each tensor is changed once, for all its users."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn


class SharedUpdate:
    """Replaces parameters, each once: modules that shared a parameter share its replacement."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
        self._new: set[int] = set()

    def __call__(self, module: nn.Module, name: str, change: Callable[[Tensor], Tensor]) -> None:
        """Set ``module.name`` to ``change(module.name)``, computed in float64.

        Does nothing where the tensor is None or was made by this object.
        """
        old = getattr(module, name)
        if old is None or id(old) in self._new:
            return
        if id(old) not in self._made:
            new = nn.Parameter(change(old.detach().double()).to(old.dtype), requires_grad=False)
            self._made[id(old)] = (old, new)
            self._new.add(id(new))
        setattr(module, name, self._made[id(old)][1])


def scale_output(update: SharedUpdate, conv: nn.Module, gain: float) -> None:
    """Multiply what a convolution writes by ``gain``."""
    for name in ("weight", "bias"):
        update(conv, name, lambda tensor: tensor * gain)


def unique_tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers of ``module``, shared ones once."""
    seen: set[int] = set()
    for tensor in (*module.parameters(), *module.buffers()):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield tensor
