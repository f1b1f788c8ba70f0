"""What a run goes on from: checkpoints that are written completely or not at all, and damage told by the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file
from torch import Tensor

from elir_edge.core.files import damage_errors
from elir_edge.core.publish import open_in, publish, staging
from elir_edge.core.storage import storage_errors


class AtomicCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, each written beside the one before and put in its place by one rename.

    Lightning's own go to the system's temporary folder first: from another disk they are copied over the one before.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint``. Raises OutputError, StorageError or LockedError."""
        target = Path(path)
        with staging(target) as folder:
            with open_in(folder, target.name) as file, storage_errors(target):
                try:
                    torch.save(checkpoint, file)
                except RuntimeError as error:
                    if isinstance(error.__context__, OSError):  # a full disk, which torch tells as a wrong position
                        raise error.__context__ from None
                    raise
            publish(target, [folder / target.name])

    def load_checkpoint(self, path: str | Path, *given: Any, **named: Any) -> dict[str, Any]:
        """The content of ``path``. Raises DataError where it is damaged."""
        with damage_errors(Path(path), "the stage begins again"):
            content: dict[str, Any] = super().load_checkpoint(path, *given, **named)
            return content


def steps_done(checkpoint: Path | None) -> int:
    """Number of optimizer steps of ``checkpoint``; 0 for None. Raises DataError where it is damaged."""
    if checkpoint is None:
        return 0
    with damage_errors(checkpoint, "the stage begins again"):
        return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])


def load_stage(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a finished stage. Raises DataError where they are damaged."""
    with damage_errors(path, "the stage goes on from its last.ckpt"):
        return load_file(path)
