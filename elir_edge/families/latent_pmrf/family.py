"""Latent-PMRF: "Latent Posterior-Mean Rectified Flow for Higher-Fidelity Perceptual Face Restoration" (Luo et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elir_edge.families.base import Family, Rewrite, Stage
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec
from elir_edge.families.latent_pmrf.stages import stages

if TYPE_CHECKING:
    from torch import Tensor, nn


class LatentPmrf(Family):
    """Estimator of the posterior mean in pixels, Sim-VAE encoder, rectified-flow field, Sim-VAE decoder."""

    name = "latent_pmrf"
    package = "elir_edge.families.latent_pmrf"
    field = "field"
    config_parts = ("encoder", "decoder")
    objectives = ("autoencoder", "posterior_mean", "rectified_flow")

    @property
    def spec(self) -> type[LatentPmrfSpec]:
        """``LatentPmrfSpec``."""
        return LatentPmrfSpec

    def parts(self, spec: LatentPmrfSpec, *, expanded: bool) -> dict[str, nn.Module | None]:
        """``estimator``, ``encoder``, ``field``, ``decoder``; Sim-VAE's have the names of its published file."""
        from elir_edge.families.latent_pmrf.estimator import build_estimator
        from elir_edge.families.latent_pmrf.sim_vae import Decoder, Encoder
        from elir_edge.families.networks.build import build_field

        return {
            "estimator": build_estimator(spec.estimator, expanded=expanded),
            "encoder": Encoder(spec.autoencoder),
            "field": build_field(spec.field, spec.latent_channels, expanded=expanded),
            "decoder": Decoder(spec.autoencoder),
        }

    def stages(self, spec: LatentPmrfSpec, noisy: bool = True) -> tuple[Stage, ...]:
        """See ``elir_edge.families.latent_pmrf.stages``."""
        return stages(spec, noisy)

    def rewrites(self) -> tuple[Rewrite, ...]:
        """Time, projection, the latent's shift and scale, noise scale and pixel range go into weights."""
        from elir_edge.families.latent_pmrf.rewrites.fold_latent_scale import drop_log_variance, fold_latent_scale
        from elir_edge.families.latent_pmrf.rewrites.fold_pixel_range import fold_pixel_range
        from elir_edge.families.rewrites.fold_noise import fold_noise
        from elir_edge.families.rewrites.fold_projection import fold_projection
        from elir_edge.families.rewrites.fold_time import fold_time
        from elir_edge.families.rewrites.shuffle_to_convolution import shuffle_to_convolution

        return (
            *(shuffle_to_convolution, fold_time, fold_projection, drop_log_variance, fold_latent_scale, fold_noise),
            fold_pixel_range,
        )

    def with_config(self, spec: LatentPmrfSpec, config: Mapping[str, Any], where: str) -> LatentPmrfSpec:
        """``spec`` with the shift and scale of an autoencoder's ``config.json``; see ``latent_pmrf.config``."""
        from elir_edge.families.latent_pmrf.config import with_config

        return with_config(spec, config, where)

    def reconstruct(self, model: Any, image: Tensor) -> Tensor:
        """What Sim-VAE alone makes of ``image``: it bounds the fidelity of every restored picture."""
        restored: Tensor = model.decoder(model.encoder(image)).clamp(0.0, 1.0)
        return restored

    def has_linear_blocks(self, names: Mapping[str, Any]) -> bool:
        """Whether a 1x1 convolution follows a 3x3 one, as in layers that are not collapsed."""
        return any(name.endswith((".conv1.1.weight", ".final_block.block.3.weight")) for name in names)


FAMILY = LatentPmrf()
