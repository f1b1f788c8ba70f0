"""The stages of Latent-PMRF: posterior_mean (pixels), encoded, state_0 .. state_K, restored. Imports no torch."""

from __future__ import annotations

from elir_edge.errors import ConfigError
from elir_edge.families.base import IMAGE, RESTORED, Space, Stage, euler_stage
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec


def stages(spec: LatentPmrfSpec, noisy: bool = True) -> tuple[Stage, ...]:
    """All stages of a model of ``spec``. A stage whose part the model lacks equals the stage before it.

    x_hat = clip(estimator(x), 0, 1); encoded = (E_mean(2 x_hat - 1) - shift) scale; z_0 = encoded + sigma_s eps;
    z_{k+1} = z_k + field(z_k, k/K) / K; restored = (D(z_K / scale + shift) + 1) / 2 (arXiv 2507.00447).
    """
    estimate = (lambda run: _estimate(run.model, run.values[IMAGE])) if spec.estimator else None
    noise = (lambda run: run.model.add_noise(run.values["encoded"], run.noise)) if spec.field and noisy else None
    module, group = ("estimator", "estimator") if spec.estimator else (None, "encoder")
    last = f"state_{spec.steps}"
    return (
        Stage("posterior_mean", "posterior mean", group, module, estimate, Space.PIXELS),
        Stage("encoded", "encoder", "encoder", "encoder", lambda run: run.model.encoder(run.values["posterior_mean"])),
        Stage("state_0", "noise", "encoder", None, noise),
        *(euler_stage(k) for k in range(spec.steps)),
        Stage(RESTORED, "decoder", "decoder", "decoder", lambda run: run.model.decoder(run.values[last])),
    )


def _estimate(model, image):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  (Tensors; torch is not imported here)
    pixels = model.estimator(image)
    if not hasattr(pixels, "shape") or pixels.shape != image.shape:
        given = tuple(pixels.shape) if hasattr(pixels, "shape") else f"a {type(pixels).__name__}"
        raise ConfigError(
            f"the estimator makes {given} of an image of {tuple(image.shape)}",
            hint="its forward has to return one tensor of the image's shape",
        )
    return pixels.clamp(0.0, model.pixel_gain)
