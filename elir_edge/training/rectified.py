"""The stages of Latent-PMRF: the posterior mean in pixels, then the rectified flow from its latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elir_edge.errors import ConfigError
from elir_edge.families.restorer import Restorer
from elir_edge.training import losses
from elir_edge.training.module import StageModule, collapse_in_training, noise_like
from elir_edge.training.recipe import Stage


class PosteriorMeanModule(StageModule):
    """The estimator alone: its error to the clean picture in pixels.

    The mean squared one, the default, makes the posterior mean.
    """

    def __init__(self, restorer: Restorer, stage: Stage, seed: int) -> None:
        super().__init__(restorer, stage, seed)
        _require(restorer, stage, "estimator")

    def trained_parts(self) -> list[nn.Module]:
        return [self.restorer.estimator]

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        degraded, clean = (side.contiguous(memory_format=torch.channels_last) for side in batch)
        loss = losses.pixel_error(clean, self.restorer.estimator(degraded).float(), self.stage.measure)
        self.log("loss", loss, prog_bar=True)
        return loss


class RectifiedFlowModule(StageModule):
    """The field alone, on the straight path from the noised latent of the posterior mean to that of the clean picture.

    Estimator and encoder are as they are: their latents are the ends of the path.
    """

    def __init__(self, restorer: Restorer, stage: Stage, seed: int) -> None:
        super().__init__(restorer, stage, seed)
        _require(restorer, stage, "field")
        with torch.device("meta"):
            plain = Restorer(restorer.spec)
        self._field = collapse_in_training(restorer.field, plain.field)

    def trained_parts(self) -> list[nn.Module]:
        return [self.restorer.field]

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        degraded, clean = (side.contiguous(memory_format=torch.channels_last) for side in batch)
        start, end = self.path_ends(degraded, clean)
        loss = self.velocity_error(start, end)
        self.log("loss", loss, prog_bar=True)
        self.log("distance", (end - start).square().mean())
        return loss

    def path_ends(self, degraded: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """(x_0, the noised latent of the posterior mean, and x_1, the latent of the clean picture)."""
        model = self.restorer
        with torch.no_grad():
            estimate = degraded if model.estimator is None else model.estimator(degraded).clamp(0.0, 1.0)
            start, end = model.encoder(estimate).float(), model.encoder(clean).float()
        return start + model.spec.sigma_s * noise_like(start, self.generator()), end

    def velocity_error(self, start: Tensor, end: Tensor) -> Tensor:
        """The rectified-flow objective at times that are drawn uniformly, see ``losses.rectified_flow``."""
        field = self._field
        assert field is not None
        generator = self.generator().manual_seed(self.generator().initial_seed() + 1)
        times = torch.rand(len(start), generator=generator).to(start.device)
        parameters = field.parameters()
        return losses.rectified_flow(lambda x, t: field(parameters, x, t).float(), start, end, times)


def _require(restorer: Restorer, stage: Stage, part: str) -> None:
    if restorer.parts[part] is None:
        raise ConfigError(
            f"stage {stage.name}: the model has no {part} to train", hint="leave this stage out of the recipe"
        )
