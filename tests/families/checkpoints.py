"""Checkpoint files for tests, of every kind that is read."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from elir_edge.families import checkpoint
from elir_edge.families.elir.checkpoint_names import PREFIXES
from elir_edge.families.elir.family import FAMILY

SPECIAL_ENTRIES = {"epoch": 3, "global_step": 7, "state_dict": {"model.x": torch.zeros(2)}, "lr_schedulers": []}


def read_checkpoint(path: Path) -> dict:
    """The tensors of an ELIR checkpoint."""
    return checkpoint.read_checkpoint(path, FAMILY)


def part(tensors: dict, prefix: str) -> dict:
    """The tensors of one part, without its prefix."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def lightning(tensors: dict, **more: object) -> dict:
    """The content of a Lightning checkpoint, as published."""
    return {**SPECIAL_ENTRIES, **{f"state_dict_{prefix}": part(tensors, prefix) for prefix in PREFIXES}, **more}


WRITERS = {
    "model.pth": lambda tensors, path: torch.save(tensors, path),
    "legacy.pth": lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    "model.ckpt": lambda tensors, path: torch.save(lightning(tensors), path),
    "model.safetensors": lambda tensors, path: save_file(tensors, path),
    "safetensors inside.pth": lambda tensors, path: save_file(tensors, path),
    "pickle inside.safetensors": lambda tensors, path: torch.save(tensors, path),
    "lightning inside.bin": lambda tensors, path: torch.save(lightning(tensors), path),
    "no ending": lambda tensors, path: torch.save(tensors, path),
}
