"""The cost of a model before anything is loaded or exported: parameters by part, and the arithmetic of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from elir_edge.artifacts.precision import WEIGHT_BYTES
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import ModelSpec


@dataclass(frozen=True)
class ModelCost:
    """``parts``: number of parameters by part. ``gflop``: of all steps of a picture of ``size`` (height, width) pixels.

    ``gflop`` counts multiply and add as 2.
    """

    size: tuple[int, int]
    parts: dict[str, int]
    gflop: float

    @property
    def parameters(self) -> int:
        """Number of parameters of all parts: steps share them."""
        return sum(self.parts.values())

    def megabytes(self, precision: str) -> float:
        """Estimated size of an artifact in MB: 4 bytes a parameter for fp32, 2 for fp16, 1 for int8 and w8a16."""
        return self.parameters * WEIGHT_BYTES[precision] / 1e6


def cost_of(spec: ModelSpec, size: tuple[int, int] | None = None) -> ModelCost:
    """The cost of a model of ``spec``, counted on tensors without data; ``size`` None: the spec's own.

    One with a user's own module is counted on zeros, see ``measure``. Raises ConfigError for a size that the model
    cannot take.
    """
    height, width = size or (spec.size, spec.size)
    with torch.device("cpu" if spec.foreign_parts else "meta"):
        restorer = Restorer(spec).eval()
        image, noise = torch.zeros(1, 3, height, width), torch.zeros(spec.latent_shape(height, width))
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        restorer(image, noise)
    parts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in restorer.parts.items()
        if part is not None
    }
    return ModelCost((height, width), parts, flops.get_total_flops() / 1e9)
