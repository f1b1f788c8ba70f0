"""Tuning: the weights of an int8 network are trained to reproduce its own float output.

Self-distillation with simulated quantization and straight-through gradients on crops of the calibration pictures; it
needs neither originals nor a training set. Scales are frozen, so that the weights stay on the grid of every format.
Biases are frozen: they would overfit to the simulated rounding; they are corrected on the quantized graph. The mean of
each colour has a loss term of its own: a colour cast is more visible than noise.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from elir_edge.core.progress import Progress
from elir_edge.errors import UsageError
from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.levels import LEVELS
from elir_edge.quantize.simulation import Simulation, crops, round_kernel

BATCH = 4
SAMPLES = 8
KERNEL_RATE = 0.03
STAGE_SHARE = 0.1
MEAN_SHARE = 20.0
SAVE_EVERY_S = 60.0
CHECKPOINT_SCHEMA = 2


@dataclass(frozen=True)
class TuneBudget:
    """Stop after ``minutes`` or ``steps``, whichever comes first. A limit in steps gives reproducible bytes.

    Raises UsageError for limits that are not positive, or infinite.
    """

    minutes: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError(f"{self.minutes} is not a positive number of minutes to tune", hint="--tune 10")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"{self.steps} is not a positive number of steps to tune", hint="--tune-steps 1000")

    def share(self, steps: int, seconds: float) -> float:
        """Share of the budget that is used, 0 to 1."""
        used = [steps / self.steps] if self.steps else []
        used += [seconds / (60 * self.minutes)] if self.minutes else []
        return min(1.0, max(used, default=1.0))


@dataclass(frozen=True)
class TuneReport:
    """``steps`` done, and PSNR in dB of the int8 simulation to the float output before and after, on the same crops."""

    steps: int
    before_db: float
    after_db: float


def tune(
    graph: StaticRestorer,
    teacher: StaticRestorer,
    pictures: Sequence[np.ndarray],
    budget: TuneBudget,
    progress: Progress,
    seed: int = 0,
    checkpoint: Path | None = None,
    levels: int = LEVELS,
) -> TuneReport:
    """Train the kernels of ``graph``, in place, to the output of ``teacher``.

    Args:
        graph: at the size of the crops; its kernels lie on the int8 grid before (``round_weights``) and after.
        teacher: the same graph with float weights, at the same size.
        pictures: degraded, uint8 H x W x 3, at least as large as the graph's size.
        budget: when to stop. progress: gets the stages of the work. seed: decides all crops.
        checkpoint: file that the state is saved to every minute and resumed from; None: neither.
        levels: steps per side of the int8 grid.
    """
    return _Tuner(graph, teacher, pictures, seed, checkpoint, levels).run(budget, progress)


class _Tuner:
    def __init__(
        self,
        graph: StaticRestorer,
        teacher: StaticRestorer,
        pictures: Sequence[np.ndarray],
        seed: int,
        checkpoint: Path | None,
        levels: int,
    ) -> None:
        self.graph, self.teacher, self.pictures, self.seed, self.checkpoint = graph, teacher, pictures, seed, checkpoint
        rng = np.random.default_rng([seed, 0])
        self.simulation = Simulation.observe(teacher, [self._batch(rng) for _ in range(SAMPLES)], levels)
        self.kernels = [_Kernel(parameter, axis, levels) for parameter, axis in _kernels(graph)]
        groups = [{"params": [item.parameter], "lr": item.rate, "base": item.rate} for item in self.kernels]
        self.optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self.spatial = (1, 2) if graph.form.layout == "NHWC" else (2, 3)
        self.step, self.seconds = 0, 0.0
        self.before: float | None = None

    def run(self, budget: TuneBudget, progress: Progress) -> TuneReport:
        self._resume(budget, progress)
        if self.before is None:
            self.before = self._decibels()
        with progress.stage("fitting int8 to the float output", 1.0) as advance:
            saved, shown = time.monotonic(), budget.share(self.step, self.seconds)
            advance(shown)
            while (share := budget.share(self.step, self.seconds)) < 1:
                advance(share - shown)
                shown, began = share, time.monotonic()
                self._one_step(1 - share)
                self.seconds += time.monotonic() - began
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self._save(progress)
                    saved = time.monotonic()
        self._save(progress)
        for kernel in self.kernels:
            kernel.settle()
        self.graph.requires_grad_(False)
        return TuneReport(self.step, self.before, self._decibels())

    def _decibels(self) -> float:
        """PSNR to the float output on crops that no step uses."""
        rng, errors = np.random.default_rng([self.seed, 2]), []
        with torch.no_grad():
            for _ in range(SAMPLES):
                batch = self._batch(rng)
                wanted = self.teacher.values(*batch)[1]
                with self.simulation.active():
                    given = self.graph.values(*batch)[1]
                errors.append(float((given - wanted).square().mean()) / self.graph.pixel_gain**2)
        return float(-10 * np.log10(np.mean(errors)))

    def _one_step(self, remaining: float) -> None:
        batch = self._batch(np.random.default_rng([self.seed, 1, self.step]))
        with torch.no_grad():
            stages, wanted = self.teacher.values(*batch)
        with self.simulation.active():
            latents, given = self.graph.values(*batch)
        error = (given - wanted).square().mean() / self.graph.pixel_gain**2
        inner = [(latents[name] - stages[name]).square().mean() / stages[name].square().mean() for name in stages]
        scale = error.detach() / torch.stack(inner).mean().detach().clamp_min(1e-12)
        means = (given - wanted).mean(self.spatial).square().mean() / self.graph.pixel_gain**2
        loss = error + STAGE_SHARE * scale * torch.stack(inner).mean() + MEAN_SHARE * means
        self.optimizer.zero_grad()
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * remaining
        self.optimizer.step()
        for kernel in self.kernels:
            kernel.hold()
        self.step += 1

    def _batch(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        cut = crops(self.pictures, self.graph.form.height, self.graph.form.width, BATCH, rng)
        image = torch.from_numpy(cut if self.graph.form.layout == "NHWC" else cut.transpose(0, 3, 1, 2).copy())
        return (image if self.graph.form.io == "uint8" else image.float() / 255,)

    def _save(self, progress: Progress) -> None:
        """Write the checkpoint. The work does not depend on it: where it cannot be written, that is noted."""
        if self.checkpoint is None:
            return
        state = {"step": self.step, "seconds": self.seconds, "before": self.before}
        staged = self.checkpoint.with_suffix(f".{os.getpid()}.part")
        tensors = {"graph": self.graph.state_dict(), "optimizer": self.optimizer.state_dict()}
        try:
            torch.save({"schema": CHECKPOINT_SCHEMA} | state | tensors, staged)
            staged.replace(self.checkpoint)
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError where the disk is full
            staged.unlink(missing_ok=True)
            progress.note(f"note: tuning cannot be saved in {self.checkpoint} ({str(error).splitlines()[0]})")
            self.checkpoint = None

    def _resume(self, budget: TuneBudget, progress: Progress) -> None:
        if self.checkpoint is None or not self.checkpoint.is_file():
            return
        try:
            state = torch.load(self.checkpoint, weights_only=True)
            schema = state["schema"]
        except Exception as error:  # whatever a file that was cut short leads to; the next state replaces it
            progress.note(f"note: {self.checkpoint} cannot be read ({type(error).__name__}); tuning begins anew")
            return
        if schema != CHECKPOINT_SCHEMA or (budget.steps is not None and state["step"] > budget.steps):
            return
        self.graph.load_state_dict(state["graph"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.before = state["step"], state["seconds"], state["before"]


class _Kernel:
    """A trained kernel. The largest weight of each output channel, which is its scale, is frozen."""

    def __init__(self, parameter: Tensor, axis: int, levels: int) -> None:
        self.parameter, self.axis, self.levels = parameter.requires_grad_(True), axis, levels
        others = [i for i in range(parameter.dim()) if i != axis]
        magnitude = parameter.detach().abs()
        self.limit = magnitude.amax(others, keepdim=True)
        self.peak = (magnitude >= self.limit).detach()
        self.start = parameter.detach().clone()
        self.rate = KERNEL_RATE * float(self.limit.mean()) / LEVELS

    def hold(self) -> None:
        """Restore the frozen weights and clip the others to the channel's range."""
        with torch.no_grad():
            self.parameter.copy_(torch.where(self.peak, self.start, self.parameter.clamp(-self.limit, self.limit)))

    def settle(self) -> None:
        """Round to the int8 grid."""
        with torch.no_grad():
            self.parameter.copy_(round_kernel(self.parameter, self.axis, self.levels))


def _kernels(graph: nn.Module) -> list[tuple[Tensor, int]]:
    found: dict[int, tuple[Tensor, int]] = {}
    for module in graph.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            found.setdefault(id(module.weight), (module.weight, int(isinstance(module, nn.ConvTranspose2d))))
    return list(found.values())
