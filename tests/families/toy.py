"""A third family, as another package would bring it: the estimate is made of pixels, and then encoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from elir_edge.families.base import BYTE_RANGE, IMAGE, RESTORED, Family, Space, Stage
from elir_edge.families.rewrites.fold_noise import fold_noise
from elir_edge.families.rewrites.sharing import SharedUpdate
from elir_edge.families.spec import ModelSpec


@dataclass(frozen=True)
class ToySpec(ModelSpec):
    """Everything at half the resolution, ``channels`` wide."""

    channels: int = 6
    family_name = "toy"
    has_flow = True
    latent_stride = size_multiple = 2

    @property
    def latent_channels(self):
        return self.channels


class Estimate(nn.Module):
    """Pixels -> pixels."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image):
        return image + self.last(torch.relu(self.first(image)))


class Push(nn.Module):
    """The field: the time moves the first bias."""

    takes_time = True

    def __init__(self, channels):
        super().__init__()
        self.first, self.last = nn.Conv2d(channels, 8, 3, padding=1), nn.Conv2d(8, channels, 3, padding=1)

    def forward(self, z, t=None):
        moved = self.first(z) if t is None else self.first(z) + t[:, None, None, None]
        return self.last(torch.relu(moved))


def fold_toy_time(graph):
    for step, t in zip(graph.fields(), graph.times, strict=True):
        step.first.bias = nn.Parameter(step.first.bias.detach() + t, requires_grad=False)
        step.takes_time = False


def fold_toy_bytes(graph):
    if graph.form.io != "uint8":
        return
    update = SharedUpdate()
    for reader in (graph.guess.first, graph.shrink):
        update(reader, "weight", lambda weight: weight / BYTE_RANGE)
    for writer in (graph.guess.last, graph.grow):
        for name in ("weight", "bias"):
            update(writer, name, lambda tensor: tensor * BYTE_RANGE)
    graph.pixel_gain = BYTE_RANGE


class Toy(Family):
    name, package, field = "toy", "tests.families", "push"
    spec = ToySpec

    def parts(self, spec, *, expanded):
        return {
            "guess": Estimate(),
            "shrink": nn.Conv2d(3, spec.channels, 2, 2),
            "push": Push(spec.channels),
            "grow": nn.ConvTranspose2d(spec.channels, 3, 2, 2),
        }

    def stages(self, spec, noisy=True):
        def mean(run):
            return run.model.guess(run.values[IMAGE]).clamp(0.0, run.model.pixel_gain)

        def encode(run):
            return run.model.shrink(run.values["posterior_mean"])

        noise = (lambda run: run.model.add_noise(run.values["encoded"], run.noise)) if noisy else None
        last = f"state_{spec.steps}"
        return (
            Stage("posterior_mean", "posterior mean", "estimate", "guess", mean, Space.PIXELS),
            Stage("encoded", "encoder", "encoder", "shrink", encode),
            Stage("state_0", "noise", "encoder", None, noise),
            *(self._step(k) for k in range(spec.steps)),
            Stage(RESTORED, "decoder", "decoder", "grow", lambda run: run.model.grow(run.values[last])),
        )

    def _step(self, k):
        compute = lambda run: run.model.euler_step(k, run.values[f"state_{k}"])  # noqa: E731
        return Stage(f"state_{k + 1}", f"step {k + 1}", f"step {k + 1}", f"steps.{k}", compute)

    def rewrites(self):
        return (fold_toy_time, fold_noise, fold_toy_bytes)


FAMILY = Toy()
