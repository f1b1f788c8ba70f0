"""The module that trains each kind of stage, and which stages a model can be trained by."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from elir_edge.errors import ConfigError
from elir_edge.families.restorer import Restorer
from elir_edge.training.module import AutoencoderModule, FlowModule, StageModule, find_encoder
from elir_edge.training.recipe import Stage
from elir_edge.training.rectified import PosteriorMeanModule, RectifiedFlowModule


def check_stages(stages: Sequence[Stage], restorer: Restorer) -> None:
    """Raise ConfigError where one of ``stages``, in their order, cannot train ``restorer``: see ``stage_module``."""
    teacher: Restorer | None = None
    for stage in stages:
        stage_module(stage, restorer, teacher, seed=0)
        if stage.kind == "autoencoder":
            teacher = restorer


def stage_module(stage: Stage, restorer: Restorer, teacher: Restorer | None, seed: int) -> StageModule:
    """The module that trains ``restorer`` in ``stage``; ``teacher`` is the model after its last autoencoder stage.

    Raises ConfigError where the parts that the stage trains are not there or have no weights, for an objective that
    reaches none of them in some step, and for a flow stage without a teacher, unless the encoder has no weights.
    """
    module = _module(stage, restorer, teacher, seed)
    if not _have_weights(module.trained_parts()):
        raise ConfigError(
            f"stage {stage.name}: what kind '{stage.kind}' trains has no weights in this model",
            hint="leave this stage out of the recipe",
        )
    if isinstance(module, FlowModule):
        _refuse_idle_steps(module)
    return module


def _refuse_idle_steps(module: FlowModule) -> None:
    """Raise ConfigError where some step has no term of the objective that reaches a part which the stage trains."""
    objective, model = module.stage.objective, module.restorer
    before = [model.enc, model.mmse]
    after = [model.dec] if module.stage.train_decoder else []
    in_pixels = bool(objective.coarse) and _have_weights([*before, *after])
    if model.fmir is not None:
        in_pixels |= bool(objective.path) and _have_weights([*before, model.fmir, *after])
    latent = bool(objective.latent) and _have_weights([*before, model.fmir])
    if in_pixels or (latent and objective.every == 1):
        return
    steps = f"steps without the latent terms (every: {objective.every})" if latent else "every step"
    raise ConfigError(
        f"stage {module.stage.name}: in {steps} no term of its objective reaches what it trains in this model",
        hint="give another term a weight: latent reaches encoder, estimator and field, coarse encoder and estimator, "
        "path all of them, in a model with a field",
    )


def _have_weights(parts: Sequence[nn.Module | None]) -> bool:
    return any(True for part in parts if part is not None for _ in part.parameters())


def _module(stage: Stage, restorer: Restorer, teacher: Restorer | None, seed: int) -> StageModule:
    if stage.kind == "autoencoder":
        return AutoencoderModule(restorer, stage, seed)
    if stage.kind == "posterior_mean":
        return PosteriorMeanModule(restorer, stage, seed)
    if teacher is None and any(True for _ in find_encoder(restorer).parameters()):
        raise ConfigError(
            f"stage {stage.name}: a flow stage needs an autoencoder stage before it",
            hint="put a stage of kind 'autoencoder' before it in the recipe",
        )
    if stage.kind == "rectified_flow":
        return RectifiedFlowModule(restorer, stage, seed)
    return FlowModule(restorer, find_encoder(teacher or restorer), stage, seed)
