"""elir-edge bench, from the command line, on real artifacts."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from elir_edge.bench.results import load_results
from tests.bench.samples import results, row
from tests.helpers import run_process

pytestmark = pytest.mark.slow
SOFTWARE_GPU = Path("/usr/lib/chromium/vk_swiftshader_icd.json")


@pytest.fixture(scope="module")
def folder(bare_artifact, tmp_path_factory):
    """Two artifacts of one model, and files that are none."""
    folder = tmp_path_factory.mktemp("artifacts")
    for target in ("onnx", "openvino"):
        shutil.copytree(bare_artifact(target, noise="baked:0").path.parent, folder, dirs_exist_ok=True)
    (folder / "stray.onnx").write_bytes(b"no manifest beside it")
    return folder


@pytest.fixture(scope="module")
def sweep_outcome(folder):
    """The outcome of one sweep over the folder with all kinds of output."""
    outputs = ["-o", folder / "r.json", "--report", folder / "r.html", "--table", folder / "r.md"]
    options = ["--rounds", "2", "--threads", "1", "-b", "onnxruntime", "-b", "openvino", "--mode", "throughput"]
    return run_process("bench", "--all", folder, *options, *outputs, "--plot", folder / "r.svg")


def test_a_sweep_times_each_artifact_in_each_runtime_beside_pytorch(sweep_outcome, folder):
    assert sweep_outcome.code == 0, sweep_outcome.err
    found = load_results(folder / "r.json")
    timed = [item for item in found.rows if item.status != "absent"]
    assert [item.label for item in timed] == [
        "PyTorch eager",
        "tiny-64-fp32.onnx in onnxruntime",
        "tiny-64-fp32.onnx in openvino, throughput",
        "tiny-64-fp32.xml in openvino, throughput",
    ]
    assert {item.status for item in timed} == {"ok"}
    assert all(len(item.rounds) == 2 and item.latency.fps > 0 and item.ratio for item in timed)
    assert all(item.peak_bytes > item.size_bytes > 0 for item in timed if item.artifact)
    assert found.peaks["fp32"] > 0
    noise = found.sections[0].noise
    assert noise.rows > 0 and noise.kernel > 0
    assert noise.verdict() in (folder / "r.md").read_text()
    assert all(item.label in sweep_outcome.out for item in timed)
    assert "| tiny-64-fp32.onnx in openvino, throughput |" in (folder / "r.md").read_text()
    assert "<svg" in (folder / "r.svg").read_text()


def test_results_are_shown_again_without_measuring(sweep_outcome, folder):
    again = run_process("bench", "--from", folder / "r.json", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["sections"] == json.loads((folder / "r.json").read_text())["sections"]


def test_two_results_are_compared(tmp_path):
    old, new = results(row("a.onnx", 0.05)), results(row("a.onnx", 0.08))
    for name, found in (("old", old), ("new", new)):
        (tmp_path / f"{name}.json").write_text(found.to_json())
    worse = run_process("bench", "--compare", tmp_path / "old.json", tmp_path / "new.json")
    assert worse.code == 1, worse.err
    assert "SLOWER" in worse.out
    assert run_process("bench", "--compare", tmp_path / "new.json", tmp_path / "old.json").code == 0
    assert run_process("bench", "--compare", tmp_path / "old.json", tmp_path / "none.json").code == 66
    assert run_process("bench", "--compare", tmp_path / "old.json", tmp_path / "new.json", "-o", "x.json").code == 2
    assert run_process("bench", "--from", tmp_path / "old.json", "--all", tmp_path).code == 2


def test_a_wrong_picture_is_marked_wrong_and_fails(folder, tmp_path):
    """Weights changed after export: the comparison with PyTorch finds it, although the manifest matches."""
    import onnx
    from onnx import numpy_helper

    from elir_edge.artifacts.artifact import load_artifact, sidecar
    from elir_edge.core.files import sha256_of

    source = load_artifact(folder / "tiny-64-fp32.onnx")
    path = tmp_path / "changed.onnx"
    model = onnx.load_model(source.path)
    weight = next(item for item in model.graph.initializer if len(item.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    onnx.save_model(model, path)
    manifest = dataclasses.replace(source.manifest, files={path.name: sha256_of(path)})
    sidecar(path).write_text(manifest.to_json())
    done = run_process("bench", path, "-b", "onnxruntime", "--rounds", "2", "--threads", "1")
    assert done.code == 1, done.err
    assert "WRONG" in done.out
    assert "WRONG picture: changed.onnx in onnxruntime" in done.out


def test_what_makes_no_sense_is_refused(folder, tmp_path):
    assert run_process("bench", "--all", tmp_path / "none").code == 66
    assert run_process("bench", "--all", tmp_path).code == 66
    assert run_process("bench", "--all", folder, "--mode", "fast").code == 2
    assert run_process("bench", "--all", folder, "--torch", "slow").code == 2
    assert run_process("bench", "--all", folder, "--preset", "nano").code == 2
    assert run_process("bench", "--all", folder, "-b", "litert").code == 2


@pytest.mark.skipif(not SOFTWARE_GPU.is_file(), reason="no software GPU (it comes with chromium) to run on")
def test_ops_that_fell_to_the_cpu_are_counted(tiny_artifact):
    artifact = tiny_artifact("tflite")
    options = ["-b", "litert", "--device", "GPU", "--rounds", "2", "--threads", "1", "--json"]
    done = run_process("bench", artifact.path, *options, VK_DRIVER_FILES=str(SOFTWARE_GPU), XDG_RUNTIME_DIR="/tmp")
    _, ours = json.loads(done.out)["sections"][0]["rows"]
    if ours["status"] == "absent":
        assert done.code == 69, done.err
        pytest.skip(ours["error"])
    assert done.code == 0, done.err
    assert (ours["device"], ours["status"]) == ("GPU", "ok")
    assert ours["placement"]["GPU"] > 100 * ours["placement"]["CPU"] > 0
    assert ours["figures"]["of_roof"] is None
