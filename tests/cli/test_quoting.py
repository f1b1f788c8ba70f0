"""Commands that are shown can be pasted into a shell: paths with spaces stay one word."""

from __future__ import annotations

import dataclasses
import shlex

from elir_edge.artifacts.artifact import Artifact
from elir_edge.cli.export import show
from elir_edge.cli.train import next_command
from elir_edge.pipeline.target import get_target
from elir_edge.training.recipe import load_recipe
from tests.robustness.faults import TINY, manifest


def test_what_export_says_to_try(tmp_path, capsys):
    path = tmp_path / "my models" / "it's.onnx"
    path.parent.mkdir()
    path.write_bytes(b"")
    show(Artifact(path, manifest(graph={"gflop": 1.0}, files={path.name: ""})), get_target("onnx"))
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "try it: " in line)
    assert shlex.split(line.partition("try it: ")[2])[-2:] == ["--artifact", str(path)]


def test_what_train_says_to_do_next(tmp_path):
    preset = tmp_path / "my models" / "tiny.yaml"
    preset.parent.mkdir()
    preset.write_text(TINY)
    plan = dataclasses.replace(load_recipe("nano"), preset=str(preset))
    words = shlex.split(next_command(plan, tmp_path / "a run" / "weights.safetensors"))
    assert words[:4] == ["elir-edge", "evaluate", "--preset", str(preset)]
    assert words[4:] == ["--weights", str(tmp_path / "a run" / "weights.safetensors"), "--task", plan.task]
