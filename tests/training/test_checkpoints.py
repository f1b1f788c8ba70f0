"""What a run goes on from: one rename, a disk that is full, and damage that names its file."""

import errno
import os
import resource

import pytest
import torch
from safetensors.torch import save

from elir_edge.errors import DataError, StorageError
from elir_edge.training.checkpoints import AtomicCheckpoints, load_stage, steps_done
from elir_edge.training.recipe import Stage
from elir_edge.training.trainer import make_trainer
from tests.helpers import refusal
from tests.training.test_trainer import options


def checkpoint(steps: int) -> dict:
    return {"global_step": steps, "values": torch.zeros(20_000)}


def test_a_checkpoint_is_never_written_over_the_one_before(tmp_path, monkeypatch):
    """Lightning's went through the temporary folder; from another disk it was copied, and a kill left half of it."""

    def elsewhere(*arguments, **named):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    path, kept = tmp_path / "stage" / "last.ckpt", tmp_path / "kept"
    store = make_trainer(Stage("a"), tmp_path, options(tmp_path)).strategy.checkpoint_io
    store.save_checkpoint(checkpoint(1), str(path))
    os.link(path, kept)
    monkeypatch.setattr(os, "rename", elsewhere)
    store.save_checkpoint(checkpoint(2), str(path))
    assert steps_done(path) == store.load_checkpoint(path, weights_only=True)["global_step"] == 2
    assert steps_done(kept) == 1
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_told_as_one(tmp_path):
    """torch tells it as an unexpected position."""
    path, limits = tmp_path / "last.ckpt", resource.getrlimit(resource.RLIMIT_FSIZE)
    AtomicCheckpoints().save_checkpoint(checkpoint(1), path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        refusal(
            StorageError,
            lambda: AtomicCheckpoints().save_checkpoint(checkpoint(2), path),
            f"{path}: writing failed",
            "space",
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert steps_done(path) == 1


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_damaged_checkpoint_is_named(share, tmp_path):
    path = tmp_path / "last.ckpt"
    AtomicCheckpoints().save_checkpoint(checkpoint(1), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refusal(DataError, lambda: steps_done(path), str(path), "delete it; the stage begins again")
    refusal(DataError, lambda: AtomicCheckpoints().load_checkpoint(path), str(path), "delete it")


@pytest.mark.parametrize("length", [0, 50])
def test_a_damaged_stage_is_named(length, tmp_path):
    path = tmp_path / "flow.safetensors"
    path.write_bytes(save({"a": torch.zeros(9)})[:length])
    refusal(DataError, lambda: load_stage(path), str(path), "delete it; the stage goes on")
