"""ELIR: "Efficient Image Restoration via Latent Consistency Flow Matching" (Cohen et al., arXiv 2502.03500)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elir_edge.families.base import Family, Rewrite, Stage
from elir_edge.families.elir.spec import ElirSpec
from elir_edge.families.elir.stages import stages

if TYPE_CHECKING:
    from torch import Tensor, nn

RELEASE = "https://github.com/eladc-git/ELIR/releases/download/v1.0/elir_{task}.pth"
TASKS = ("bfr", "bsr", "denoising", "inpainting", "sr")


class Elir(Family):
    """Encoder, coarse estimator over the latent, U-Net field, decoder."""

    name = "elir"
    package = "elir_edge.families.elir"
    field = "fmir"
    encoder, decoder = "enc", "dec"
    objectives = ("autoencoder", "flow")
    published = {task: RELEASE.format(task=task) for task in TASKS}  # noqa: RUF012

    @property
    def spec(self) -> type[ElirSpec]:
        """``ElirSpec``."""
        return ElirSpec

    def parts(self, spec: ElirSpec, *, expanded: bool) -> dict[str, nn.Module | None]:
        """``enc``, ``mmse`` (estimator), ``fmir`` (field), ``dec``: the prefixes of the published checkpoints."""
        from elir_edge.families.elir.parts import build_parts

        return build_parts(spec, expanded=expanded)

    def stages(self, spec: ElirSpec, noisy: bool = True) -> tuple[Stage, ...]:
        """See ``elir_edge.families.elir.stages``."""
        return stages(spec, noisy)

    def rewrites(self) -> tuple[Rewrite, ...]:
        """Time, projection, residual factors, latent bound, noise scale and pixel range go into weights."""
        from elir_edge.families.elir.rewrites.fold_latent_bound import fold_latent_bound
        from elir_edge.families.elir.rewrites.fold_pixel_range import fold_pixel_range
        from elir_edge.families.elir.rewrites.fold_residual_scale import fold_residual_scale
        from elir_edge.families.rewrites.fold_noise import fold_noise
        from elir_edge.families.rewrites.fold_projection import fold_projection
        from elir_edge.families.rewrites.fold_time import fold_time
        from elir_edge.families.rewrites.shuffle_to_convolution import shuffle_to_convolution

        return (
            *(shuffle_to_convolution, fold_time, fold_projection, fold_residual_scale, fold_latent_bound),
            *(fold_pixel_range, fold_noise),
        )

    def canonical_names(self, tensors: Mapping[str, Any], where: str) -> dict[str, Tensor]:
        """See ``elir_edge.families.elir.checkpoint_names``."""
        from elir_edge.families.elir.checkpoint_names import canonical_names

        return canonical_names(tensors, where)

    def has_linear_blocks(self, names: Mapping[str, Any]) -> bool:
        """Whether a 1x1 convolution follows a 3x3 one, as in layers that are not collapsed."""
        ends = (".conv1.1.weight", ".conv1.block.1.weight", ".final_block.block.3.weight")
        return any(name.endswith(ends) for name in names)


FAMILY = Elir()
