"""The kinds of training stages as Lightning modules."""

from __future__ import annotations

import copy
from typing import Any, Self

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from elir_edge.errors import GateError
from elir_edge.families.networks.euler import euler_step
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import ModelSpec
from elir_edge.training import losses
from elir_edge.training.ema import MovingAverage
from elir_edge.training.linear import Collapsed
from elir_edge.training.recipe import Stage

AVERAGE_KEY = "moving_average"
CHECK_EVERY = 50  # steps: reading whether weights are finite waits for the device

Terms = dict[str, tuple[float, Tensor]]


class StageModule(lightning.LightningModule):
    """Optimizer, schedule, moving average and checkpoint entries of all kinds.

    A checkpoint also has ``state_dict_PART`` for each part, ELIR's are ``enc``, ``mmse``, ``fmir``, ``dec``: the
    averages, not collapsed, without their prefixes, as the published training checkpoints have.
    """

    def __init__(self, restorer: Restorer, stage: Stage, seed: int) -> None:
        super().__init__()
        self.restorer = restorer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stage = stage
        self.seed = seed
        self.average = MovingAverage(self.restorer)

    def trained_parts(self) -> list[nn.Module]:
        """The parts that this stage trains; the others have no gradients."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        """Freeze the other parts before a strategy wraps the module: DDP would wait for their gradients."""
        self.restorer.requires_grad_(False)
        for part in self.trained_parts():
            part.requires_grad_(True)

    def on_train_start(self) -> None:
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set training mode for the parts that this stage trains, and evaluation mode for the others.

        Those are used as they will be: without dropout, and the statistics of their batch norms stay.
        """
        super().train(False)
        for part in self.trained_parts():
            part.train(mode)
        self.training = mode
        return self

    def configure_optimizers(self) -> OptimizerLRScheduler:
        parameters = [value for value in self.restorer.parameters() if value.requires_grad]
        optimizer = AdamW(parameters, lr=self.stage.rate, betas=(0.9, 0.999), weight_decay=self.stage.weight_decay)
        schedule = LambdaLR(optimizer, self.stage.rate_at)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Update the average; Lightning calls this before each step, with the weights of ``global_step`` steps."""
        if self.global_step > 0:
            self.average.update(self.restorer, self.global_step)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.global_step % CHECK_EVERY == 0 or self.global_step == self.stage.steps:
            self._check_finite()

    def _check_finite(self) -> None:
        """Raise GateError where a weight is NaN or infinite: it stays so, and the loss with it."""
        if not all(bool(value.isfinite().all()) for value in self.restorer.parameters() if value.requires_grad):
            raise GateError(
                f"stage {self.stage.name}: diverged, at step {self.global_step} weights are NaN or infinite",
                hint="lower the stage's rate, and begin again in another folder (-o)",
            )

    def on_train_end(self) -> None:
        self.restorer.train()  # Lightning warns of parts that are not, and a next stage may train them
        self.average.update(self.restorer, self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._check_finite()
        checkpoint[AVERAGE_KEY] = self.average.state_dict()
        values = self.averaged_state()
        for part in self.restorer.parts:
            prefix = f"{part}."
            checkpoint[f"state_dict_{part}"] = {
                name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)
            }

    def averaged_state(self) -> dict[str, Tensor]:
        """The averages, and what a model counts beside its parameters, such as the statistics of batch norms."""
        return {name: value.detach() for name, value in self.restorer.state_dict().items()} | self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.average.load_state_dict(checkpoint[AVERAGE_KEY])

    def generator(self) -> torch.Generator:
        """A generator seeded by seed, step and rank: the same after a resume."""
        seed = (self.seed * 1_000_003 + self.global_step) * 1009 + self.global_rank
        return torch.Generator().manual_seed(seed)


class AutoencoderModule(StageModule):
    """Encoder and decoder on clean crops; noise on the latent makes the decoder smooth."""

    def trained_parts(self) -> list[nn.Module]:
        return [find_encoder(self.restorer), find_decoder(self.restorer)]

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        image = batch[1].contiguous(memory_format=torch.channels_last)
        encoder, decoder = self.trained_parts()
        latent = encoder(image).float()
        noise = torch.randn(latent.shape, generator=self.generator()).to(latent)
        decoded = decoder(latent + self.stage.latent_noise * noise).float()
        loss = losses.reconstruction(image, decoded)
        self.log("loss", loss, prog_bar=True)
        self.log("mse", (image - decoded).square().mean())
        self.log("latent_rms", latent.square().mean().sqrt())
        return loss + 1e-4 * latent.square().mean()


class FlowModule(StageModule):
    """Encoder, estimator and field, and the decoder with ``train_decoder``.

    ``teacher``: the frozen encoder whose latents of clean images are the targets.
    """

    def __init__(self, restorer: Restorer, teacher: nn.Module, stage: Stage, seed: int) -> None:
        super().__init__(restorer, stage, seed)
        self.teacher = copy.deepcopy(teacher).requires_grad_(False)
        with torch.device("meta"):
            plain = Restorer(restorer.spec)
        self._estimator = collapse_in_training(restorer.mmse, plain.mmse)
        self._field = collapse_in_training(restorer.fmir, plain.fmir)

    @property
    def spec(self) -> ModelSpec:
        return self.restorer.spec

    def trained_parts(self) -> list[nn.Module]:
        parts = [self.restorer.enc, self.restorer.mmse, self.restorer.fmir]
        if self.stage.train_decoder:
            parts.append(self.restorer.dec)
        return [part for part in parts if part is not None]

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        degraded, clean = (side.contiguous(memory_format=torch.channels_last) for side in batch)
        terms = self.terms(degraded, clean)
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()
        self.log("loss", total, prog_bar=True)
        for name, (_, value) in terms.items():
            self.log(name, value)
        return total

    def terms(self, degraded: Tensor, clean: Tensor) -> Terms:
        """The terms of the objective whose weight is not 0: (weight, value) by name."""
        objective, generator = self.stage.objective, self.generator()
        coarse = self._coarse(degraded)
        terms: Terms = {}
        if objective.latent and self.global_step % objective.every == 0:
            terms |= self._latent_terms(coarse, clean, generator)
        if objective.coarse:
            terms["coarse"] = (objective.coarse, self._error(coarse, clean))
        if objective.path and self._field is not None:
            terms["path"] = (objective.path, self._error(self._integrate(coarse, generator), clean))
        return terms

    def _error(self, latent: Tensor, clean: Tensor) -> Tensor:
        return losses.pixel_error(clean, self._decode(latent), self.stage.measure)

    def _latent_terms(self, coarse: Tensor, clean: Tensor, generator: torch.Generator) -> Terms:
        objective = self.stage.objective
        with torch.no_grad():
            target = self.teacher(clean).float()
        terms = {"mmse": (objective.latent, losses.mmse(coarse, target))}
        if self._field is None:
            return terms
        settings = losses.FlowSettings(objective.segments, objective.dt, objective.alpha)
        times = torch.rand(len(coarse), generator=generator).to(coarse.device) * (1.0 - settings.dt)
        field = self._field_function()
        start = coarse.detach() + self.spec.sigma_s * noise_like(coarse, generator)
        flow = losses.flow_terms(field, start, target, times, settings)
        terms["flow"] = (objective.latent * (1.0 - objective.beta), flow.loss(objective.alpha))
        if objective.beta:
            value = losses.distortion(field, self._decode, clean, flow)
            terms["distortion"] = (objective.latent * objective.beta, value)
        return terms

    def _coarse(self, degraded: Tensor) -> Tensor:
        latent = self.restorer.enc(degraded)
        if self._estimator is None:
            return latent.float()
        return self._estimator(self._estimator.parameters(), latent).float()

    def _field_function(self) -> losses.VectorField:
        field = self._field
        if field is None:
            raise ValueError("the model has no field")
        parameters = field.parameters()
        return lambda state, t: field(parameters, state, t).float()

    def _integrate(self, coarse: Tensor, generator: torch.Generator) -> Tensor:
        field, steps = self._field_function(), self.spec.steps
        state = coarse + self.spec.sigma_s * noise_like(coarse, generator)
        for k in range(steps):
            state = euler_step(field, state, k / steps, steps)
        return state

    def _decode(self, latent: Tensor) -> Tensor:
        return self.restorer.dec(latent).float()


def find_encoder(restorer: Restorer) -> nn.Module:
    """The family's encoder."""
    encoder: nn.Module = getattr(restorer, restorer.spec.family.encoder)
    return encoder


def find_decoder(restorer: Restorer) -> nn.Module:
    """The family's decoder."""
    decoder: nn.Module = getattr(restorer, restorer.spec.family.decoder)
    return decoder


def collapse_in_training(expanded: nn.Module | None, plain: nn.Module | None) -> Collapsed | None:
    """``expanded`` run as ``plain``; None where the model has no such part."""
    return None if expanded is None or plain is None else Collapsed(expanded, plain)


def noise_like(latent: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal values of the shape of ``latent``."""
    return torch.randn(latent.shape, generator=generator).to(latent)
