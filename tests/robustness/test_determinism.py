"""The same inputs give the same bytes, in every process; on one core or two, pictures within one level."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest

from elir_edge.imaging.pictures import read_picture
from tests.helpers import child_environment, command_line, save_picture, snapshot

FRESH = 5
pytestmark = pytest.mark.campaign


def finish(*arguments, cwd, cores: int | None = None) -> None:
    """Run the tool on as many cores as stated, with another order of hashes each time."""
    few = None if cores is None else lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    done = subprocess.run(
        command_line(*arguments), cwd=cwd, env=child_environment(PYTHONHASHSEED="random"), capture_output=True,
        text=True, preexec_fn=few,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_five_fresh_processes_export_the_same_bytes(place):
    """Other targets: tests/exporters/test_contract_exports.py, in one more process each."""
    found = []
    for number in range(FRESH):
        (place / str(number)).mkdir()
        finish("export", "-p", "tiny.yaml", "-t", "openvino", "-o", f"{number}/a.xml", cwd=place)
        found.append(snapshot(place / str(number)))
    assert len(found[0]) == 4 and all(other == found[0] for other in found)


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_five_fresh_processes_restore_the_same_bytes_and_cores_are_within_a_level(target, tiny_artifact, tmp_path):
    artifact = tiny_artifact(target).path
    save_picture(tmp_path / "a.png", 80, 96)
    for number in range(FRESH):
        finish("restore", "a.png", "-a", artifact, "-o", f"{number}.png", cwd=tmp_path)
    assert len({digest for name, digest in snapshot(tmp_path).items() if name != "a.png"}) == 1
    for cores in (1, 2):
        finish("restore", "a.png", "-a", artifact, "-o", f"on{cores}.png", cwd=tmp_path, cores=cores)
    one, two = (read_picture(tmp_path / f"on{cores}.png").astype(np.int16) for cores in (1, 2))
    assert abs(one - two).max() <= 1
