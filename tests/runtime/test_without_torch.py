"""Running an artifact needs its runtime and NumPy: no torch, no TensorFlow, no converter."""

import subprocess
import sys

import pytest

from elir_edge.runtime.backend import backends

BLOCKED = (
    "torch",
    "tensorflow",
    "litert_torch",
    "onnx",
    "onnxscript",
    "onnxsim",
    "nncf",
    "jax",
    "torchao",
    "exporters",
)
RUN = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from elir_edge.cli import run
status = run(["restore", sys.argv[2], "-o", sys.argv[3], "--artifact", sys.argv[1]]) or run(["inspect", sys.argv[1]])
sys.exit(status)
"""
HEAVY = ("torch", "tensorflow", "onnx", "onnxruntime", "openvino", "ai_edge_litert", "numpy", "PIL", "rich", "yaml")


@pytest.mark.slow
@pytest.mark.parametrize(("target", "only"), [("onnx", "onnxruntime"), ("onnx", "openvino"), ("tflite", "litert")])
def test_an_artifact_restores_where_only_one_runtime_is(target, only, tiny_artifact, tmp_path):
    from elir_edge.imaging.pictures import builtin_photograph, read_picture, write_picture

    artifact = tiny_artifact(target)
    write_picture(tmp_path / "in.png", builtin_photograph("chelsea")[:80, :100])
    arguments = [str(artifact.path), str(tmp_path / "in.png"), str(tmp_path / "out.png")]
    others = [backend.package for backend in backends().values() if backend.package != backends()[only].package]
    script = RUN.format(blocked=(*BLOCKED, *others))
    result = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert read_picture(tmp_path / "out.png").shape == (80, 100, 3)


def test_help_imports_nothing_heavy():
    code = f"""
import sys
from elir_edge.cli import run
run(["--help"])
sys.exit(",".join(name for name in {HEAVY!r} if name in sys.modules) or 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "export" in result.stdout
