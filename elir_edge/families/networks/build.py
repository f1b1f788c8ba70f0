"""Networks by the kind of their specification."""

from __future__ import annotations

from torch import nn

from elir_edge.families.networks.residual import ResidualField
from elir_edge.families.networks.specs import FieldSpec, ResidualSpec
from elir_edge.families.networks.unet import Field


def build_field(spec: FieldSpec | ResidualSpec | None, channels: int, *, expanded: bool) -> nn.Module | None:
    """The vector field over a latent of ``channels``; None where there is none."""
    if spec is None:
        return None
    kind = ResidualField if isinstance(spec, ResidualSpec) else Field
    return kind(spec, channels, expanded=expanded)  # type: ignore[arg-type]
