"""NPU compilers: success is decided by their output files, not by their exit status."""

import importlib.util
import json

import numpy as np
import pytest

from elir_edge import load_artifact
from elir_edge.artifacts.artifact import Artifact
from elir_edge.cli import run
from elir_edge.core.files import sha256_of
from elir_edge.errors import OutputError, UnavailableError, UsageError
from elir_edge.formats.tflite.file import read_file
from elir_edge.formats.tflite.flatmodel import custom_codes, op_names
from elir_edge.npu.compiler import compilers, get_compiler
from elir_edge.npu.compilers.micro import adder, resolver_header
from elir_edge.npu.device import get_device, known_devices
from elir_edge.npu.fit import fit_artifact
from tests.helpers import refusal, snapshot

pytestmark = pytest.mark.slow


def needs(module: str, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{package} is not installed")


needs_vela = needs("ethosu", "ethos-u-vela")
needs_micro = needs("tflite_micro", "tflite-micro")
needs_qnn = needs("onnxruntime_qnn", "onnxruntime-qnn")


@pytest.fixture(scope="module")
def int8_tflite(tiny_artifact) -> Artifact:
    return tiny_artifact("tflite", "int8")


@pytest.fixture(scope="module")
def fp32_tflite(tiny_artifact) -> Artifact:
    return tiny_artifact("tflite")


@pytest.fixture(scope="module")
def onnx_artifact(tiny_artifact) -> Artifact:
    return tiny_artifact("onnx", "int8")


@needs_vela
@pytest.mark.parametrize("device", ["ethos-u55-128", "ethos-u65-512", "ethos-u85-256"])
def test_int8_is_one_command_stream_on_ethos_u(int8_tflite, device, tmp_path, capsys):
    out = tmp_path / "compiled.tflite"
    assert run(["compile", str(int8_tflite.path), "--for", device, "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["npu_share"] == 1 and told["figures"]["inferences_per_second"] > 0
    assert set(custom_codes(read_file(out))) == {"ethos-u"}
    compiled = load_artifact(out).manifest.compiled
    assert compiled["device"] == device
    assert compiled["made_from"]["files"] == {int8_tflite.path.name: sha256_of(int8_tflite.path)}
    assert compiled["figures_are"] == "estimated"
    assert run(["inspect", str(out)]) == 0
    assert device in capsys.readouterr().out
    for command in (["verify"], ["validate"], ["package", "--lang", "c", "-o", str(tmp_path / "c")], ["bench"]):
        assert run([command[0], str(out), *command[1:]]) == UsageError.exit_code, command
        assert int8_tflite.path.name in capsys.readouterr().err


@needs_vela
def test_what_fit_says_of_memory_is_what_vela_needs(int8_tflite, tmp_path, capsys):
    told = fit_artifact(int8_tflite, known_devices()["ethos-u55-128"])
    assert told.verdict == "yes"
    assert run(["compile", str(int8_tflite.path), "--for", "ethos-u55-128", "-o", str(tmp_path), "--json"]) == 0
    used = json.loads(capsys.readouterr().out)["memory_kib"]["sram"]
    assert told.arena_kib <= used <= told.arena_kib * 1.3 + 32


@needs_vela
def test_too_little_memory_is_a_failure_whatever_vela_says(int8_tflite, tmp_path, capsys):
    board, place = tmp_path / "board.yaml", tmp_path / "out"
    shared = known_devices()["ethos-u55-128"].shared
    place.mkdir()
    board.write_text(
        f"{{family: board, compiler: vela, figures: estimated, about: small, types: [int8, uint8, int16], "
        f"ops: [{', '.join(shared.ops)}], devices: [{{name: board, "
        f"memory: {{sram_kib: 16, flash_kib: 9000, arena: sram, weights: flash}}, "
        f"options: [accelerator-config=ethos-u55-128]}}]}}"
    )
    assert fit_artifact(int8_tflite, get_device(str(board))).verdict == "no"
    assert run(["compile", str(int8_tflite.path), "--for", str(board), "-o", str(place)]) == 1
    assert "the device has 16: elir-edge fit proposes changes" in capsys.readouterr().err
    assert snapshot(place) == {}


@needs_vela
def test_a_float_model_is_a_failure_whatever_vela_says(fp32_tflite, tmp_path, capsys):
    assert run(["compile", str(fp32_tflite.path), "--for", "ethos-u55-256", "-o", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "CONV_2D" in said and "--precision int8" in said
    assert snapshot(tmp_path) == {}


@needs_vela
def test_what_is_there_stays(int8_tflite, tmp_path):
    there = tmp_path / "x.tflite"
    there.write_bytes(b"older")
    arguments = ["compile", str(int8_tflite.path), "--for", "ethos-u85-256", "-o", str(there)]
    assert run(arguments) == OutputError.exit_code
    assert there.read_bytes() == b"older"
    assert run([*arguments, "--force"]) == 0
    assert run(["compile", str(there), "--for", "ethos-u85-256", "-o", str(tmp_path / "y.tflite")]) == 2


def test_another_format_is_refused_with_the_way_to_the_right_one(onnx_artifact, int8_tflite, tmp_path, capsys):
    assert run(["compile", str(onnx_artifact.path), "--for", "ethos-u55-256", "-o", str(tmp_path)]) == 2
    assert "--target tflite --precision int8" in capsys.readouterr().err
    assert run(["compile", str(int8_tflite.path), "--for", "htp-v75", "-o", str(tmp_path)]) == 2
    assert "--target onnx --precision w8a16" in capsys.readouterr().err
    assert run(["compile", str(onnx_artifact.path), "--for", "ethos-u55", "-o", str(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("device", "package", "extra"),
    [("ethos-u55-256", "ethos-u-vela", "vela"), ("tflite-micro", "tflite-micro", "micro")],
)
def test_a_missing_compiler_is_named_with_the_command(
    fp32_tflite, device, package, extra, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status = run(["compile", str(fp32_tflite.path), "--for", device, "-o", str(tmp_path)])
    said = capsys.readouterr().err
    assert status == UnavailableError.exit_code
    assert package in said and f"elir-edge[{extra}]" in said


@needs_micro
def test_micro_runs_it_and_tells_arena_and_ops(int8_tflite, tmp_path):
    out = tmp_path / "sensor.tflite"
    assert run(["compile", str(int8_tflite.path), "--for", "tflite-micro", "-o", str(out)]) == 0
    manifest = load_artifact(out).manifest
    figures = manifest.compiled["figures"]
    assert figures["psnr_to_recorded_db"] >= figures["allowed_db"] > 20
    estimate = fit_artifact(int8_tflite, known_devices()["tflite-micro"]).arena_kib * 1024
    assert figures["arena_bytes"] == pytest.approx(estimate, rel=0.1)
    header = (tmp_path / "sensor_ops.h").read_text()
    ops = set(op_names(read_file(int8_tflite.path)))
    assert f"kOps = {len(ops)};" in header and f"kArenaBytes = {figures['arena_bytes']};" in header
    assert all(f"resolver.{adder(name)}()" in header for name in ops)
    assert set(manifest.files) == {"sensor.tflite", "sensor_ops.h"}
    assert out.read_bytes() == int8_tflite.path.read_bytes()


@needs_micro
def test_micro_refuses_ops_it_does_not_have(fp32_tflite, tmp_path, capsys):
    assert run(["compile", str(fp32_tflite.path), "--for", "tflite-micro", "-o", str(tmp_path)]) == 1
    assert "RELU_0_TO_1" in capsys.readouterr().err
    assert snapshot(tmp_path) == {}


def test_resolver_methods_have_tflite_micros_names():
    known = {
        "CONV_2D": "AddConv2D",
        "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
        "AVERAGE_POOL_2D": "AddAveragePool2D",
        "RESIZE_NEAREST_NEIGHBOR": "AddResizeNearestNeighbor",
        "PADV2": "AddPadV2",
        "RELU6": "AddRelu6",
        "TRANSPOSE_CONV": "AddTransposeConv",
        "SQUARED_DIFFERENCE": "AddSquaredDifference",
    }
    assert {name: adder(name) for name in known} == known
    assert resolver_header("a-b", ["ADD", "ADD", "MUL"], 5).count("resolver.Add") == 2


@needs_qnn
@pytest.mark.parametrize("precision", ["int8", "w8a16"])
def test_the_htp_takes_the_whole_graph_in_one_context_and_its_simulator_agrees(
    precision, onnx_artifact, light_artifact, tmp_path, capsys
):
    out = tmp_path / "phone.onnx"
    artifact = onnx_artifact if precision == "int8" else light_artifact("onnx", precision)
    assert run(["compile", str(artifact.path), "--for", "htp-v75", "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    figures = told["figures"]
    assert (told["npu_share"], figures["contexts"]) == (1, 1)
    assert figures["psnr_to_cpu_db"] >= figures["allowed_db"] > 20
    assert load_artifact(out).manifest.compiled["options"] == {"htp_arch": "75", "soc_model": "57"}


def test_group_norm_rewritten_is_the_same_function(tiny_artifact):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from elir_edge.formats.onnx.group_norm import GROUP_NORM, as_instance_norm

    model = onnx.load_model(tiny_artifact("onnx").path)
    rewritten = as_instance_norm(model)
    onnx.checker.check_model(rewritten, full_check=True)
    assert GROUP_NORM in {node.op_type for node in model.graph.node}
    assert GROUP_NORM not in {node.op_type for node in rewritten.graph.node}
    image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    before, after = (
        onnxruntime.InferenceSession(item.SerializeToString(), providers=["CPUExecutionProvider"])
        for item in (model, rewritten)
    )
    difference = before.run(None, {"image": image})[0] - after.run(None, {"image": image})[0]
    assert np.abs(difference).max() < 1e-5


def test_every_known_device_has_its_compiler():
    assert {device.shared.compiler for device in known_devices().values()} == set(compilers())
    refusal(UsageError, lambda: get_compiler("veal"), "vela")
