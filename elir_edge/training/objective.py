"""What a stage of a recipe minimizes. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from elir_edge.errors import ConfigError, did_you_mean

MEASURES = ("absolute", "logarithm", "squared")


@dataclass(frozen=True)
class Objective:
    """Loss = ``latent`` (L_mmse + (1 - beta) L_lcfm + beta L_mse) + ``coarse`` C + ``path`` P.

    The paper's objective is ``latent`` 1, the rest 0. C and P are additions: errors of the decoded coarse latent, and
    of the picture that all ``steps`` Euler steps end in, both with gradients to every part and as ``measure`` says
    (``losses.pixel_error``; None: see ``Stage.measure``).
    The latent terms are formed at one step in ``every``. ``segments``, ``dt``, ``alpha``: see FlowSettings. Raises
    ConfigError for values out of range, and where no term has a weight.
    """

    latent: float = 1.0
    every: int = 1
    beta: float = 0.001
    alpha: float = 0.001
    segments: int = 5
    dt: float = 0.05
    coarse: float = 0.0
    path: float = 0.0
    measure: str | None = None

    def __post_init__(self) -> None:
        if self.measure is not None and self.measure not in MEASURES:
            raise ConfigError(f"measure is '{self.measure}'", hint=did_you_mean(self.measure, MEASURES))
        weights = {name: getattr(self, name) for name in ("latent", "coarse", "path", "alpha")}
        if not all(0.0 <= weight < math.inf for weight in weights.values()):
            raise ConfigError(f"objective: {listing(weights)} are no weights", hint="weights are at least 0 and finite")
        if not self.latent and not self.coarse and not self.path:
            raise ConfigError(
                "objective: latent, coarse and path are 0, so that there is nothing to minimize",
                hint="give one of them a weight",
            )
        if self.segments < 1 or not 0.0 < self.dt < 1.0 or not 0.0 <= self.beta <= 1.0:
            raise ConfigError(
                f"objective: segments {self.segments}, dt {self.dt}, beta {self.beta} are not all in range",
                hint="segments is at least 1, dt between 0 and 1, beta 0 to 1",
            )
        if self.every < 1 or (self.every > 1 and not self.coarse and not self.path):
            raise ConfigError(
                f"objective.every is {self.every}: steps without the latent terms need another one",
                hint="write every: 1, or give coarse or path a weight",
            )


def listing(values: Mapping[str, float]) -> str:
    """Names and values for a message: ``rate -1, clip 1``."""
    return ", ".join(f"{name} {value:g}" for name, value in values.items())
