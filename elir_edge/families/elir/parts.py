"""The modules of an ELIR model, by the kinds that its specification names."""

from __future__ import annotations

from torch import nn

from elir_edge.families.elir.autoencoder import Decoder, Encoder
from elir_edge.families.elir.estimator import Estimator
from elir_edge.families.elir.shuffle import ShuffleDecoder, ShuffleEncoder
from elir_edge.families.elir.spec import ElirSpec, ShuffleSpec
from elir_edge.families.networks.residual import ResidualEstimator, ResidualField
from elir_edge.families.networks.specs import ResidualSpec
from elir_edge.families.networks.unet import Field


def build_parts(spec: ElirSpec, *, expanded: bool) -> dict[str, nn.Module | None]:
    """``enc``, ``mmse`` (estimator), ``fmir`` (field), ``dec``, with first weights as torch draws them."""
    shuffle = spec.autoencoder if isinstance(spec.autoencoder, ShuffleSpec) else None
    return {
        "enc": ShuffleEncoder(shuffle) if shuffle else Encoder(spec.autoencoder),  # type: ignore[arg-type]
        "mmse": _estimator(spec, expanded=expanded),
        "fmir": _field(spec, expanded=expanded),
        "dec": ShuffleDecoder(shuffle) if shuffle else Decoder(spec.autoencoder),  # type: ignore[arg-type]
    }


def _estimator(spec: ElirSpec, *, expanded: bool) -> nn.Module | None:
    if spec.estimator is None:
        return None
    if isinstance(spec.estimator, ResidualSpec):
        return ResidualEstimator(spec.estimator, spec.latent_channels, expanded=expanded)
    return Estimator(spec.estimator, spec.latent_channels, expanded=expanded)


def _field(spec: ElirSpec, *, expanded: bool) -> nn.Module | None:
    if spec.field is None:
        return None
    if isinstance(spec.field, ResidualSpec):
        return ResidualField(spec.field, spec.latent_channels, expanded=expanded)
    return Field(spec.field, spec.latent_channels, expanded=expanded)
