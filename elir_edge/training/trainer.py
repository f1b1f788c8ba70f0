"""Lightning's trainer as the stages of a recipe use it: the hardware it runs on, its logs, and how it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from elir_edge.errors import UsageError
from elir_edge.training.arithmetic import AUTO, choose_precision
from elir_edge.training.checkpoints import AtomicCheckpoints
from elir_edge.training.module import StageModule
from elir_edge.training.recipe import Stage

LAST = "last"
DDP, TOLERANT = "ddp", "_find_unused_parameters_true"  # names of Lightning's strategies


@dataclass(frozen=True)
class RunOptions:
    """Folder and hardware of a run. The batch of a recipe is per device: the number of devices changes the result.

    ``precision``, ``accelerator``, ``devices``, ``nodes``, ``strategy`` are Lightning's; nodes share ``folder``.
    ``precision`` is one of ``arithmetic.PRECISIONS``; ``auto`` is bf16-mixed where the hardware multiplies bf16, else
    32-true.
    ``save_minutes``: time between checkpoints. ``workers``: processes that draw batches. ``tensorboard``: write its
    logs too.
    """

    folder: Path
    precision: str = AUTO
    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    strategy: str = "auto"
    workers: int = 0
    save_minutes: float = 2.0
    tensorboard: bool = False
    progress: bool = True
    callbacks: tuple[Callback, ...] = ()


class BarOnStderr(TQDMProgressBar):
    """Lightning's bar, which goes to stdout there: that is for results."""

    def init_train_tqdm(self) -> Tqdm:
        with contextlib.redirect_stdout(sys.stderr):
            return super().init_train_tqdm()


def make_trainer(stage: Stage, folder: Path, options: RunOptions) -> lightning.Trainer:
    """Lightning's trainer of one stage, whose logs and checkpoint go into ``folder``.

    On several devices, ``auto`` and ``ddp`` tolerate parts without gradients in a step: an objective has them at steps
    that leave out its latent terms. Raises UsageError for options that this machine cannot train with, and for
    strategies that train in processes which keep the weights to themselves.
    """
    try:
        trainer = _trainer(stage, folder, options)
        if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
            raise UsageError(
                f"--strategy {options.strategy}: trains in processes of its own, whose weights do not come back",
                hint=f"train with --strategy {DDP}, from a script or the command line, not from a notebook",
            )
        if trainer.world_size > 1 and isinstance(trainer.strategy, DDPStrategy) and options.strategy in (AUTO, DDP):
            return _trainer(stage, folder, dataclasses.replace(options, strategy=f"{DDP}{TOLERANT}"))
        return trainer
    except (MisconfigurationException, ValueError, TypeError, ImportError, OverflowError) as error:
        raise UsageError(
            f"this machine cannot train with these options: {error}", hint="try --accelerator cpu --devices 1"
        ) from error


def fit(trainer: lightning.Trainer, module: StageModule, batches: DataLoader[Any], resume: Path | None) -> None:
    """Train ``module`` to the end of its stage, from the checkpoint ``resume`` on where there is one.

    Raises KeyboardInterrupt where Ctrl-C ended it: Lightning makes an exit with status 1 of that, and ignores the
    signal from then on.
    """
    heeded = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, batches, ckpt_path=str(resume) if resume else None)
    except SystemExit as exit_:
        if not trainer.interrupted:
            raise
        if heeded is not None:
            signal.signal(signal.SIGINT, heeded)
        raise KeyboardInterrupt from exit_
    if trainer.global_step < module.stage.steps:
        raise KeyboardInterrupt


def _trainer(stage: Stage, folder: Path, options: RunOptions) -> lightning.Trainer:
    saver = ModelCheckpoint(
        dirpath=folder,
        filename=LAST,
        train_time_interval=timedelta(minutes=options.save_minutes),
        enable_version_counter=False,
    )
    bar = [BarOnStderr(refresh_rate=20)] if options.progress else []
    return lightning.Trainer(
        max_steps=stage.steps,
        precision=choose_precision(options.precision, options.accelerator),  # type: ignore[arg-type]
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.nodes,
        strategy=options.strategy,
        gradient_clip_val=stage.clip,
        callbacks=[saver, *bar, *options.callbacks],
        plugins=[AtomicCheckpoints()],
        logger=_loggers(folder, options.tensorboard),
        log_every_n_steps=min(50, stage.steps),
        enable_progress_bar=options.progress,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _loggers(folder: Path, tensorboard: bool) -> list[Logger]:
    """Loggers with a new version at every start: a resumed run keeps the earlier logs."""
    loggers: list[Logger] = [CSVLogger(folder, name="logs")]
    if tensorboard:
        loggers.append(TensorBoardLogger(folder, name="tensorboard"))
    return loggers
