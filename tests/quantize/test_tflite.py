"""int8 and fp16 .tflite files: integers from end to end, one copy of the weights, the picture kept."""

import dataclasses

import numpy as np
import pytest
import torch

from elir_edge import export, load_restorer, open_session
from elir_edge.core.files import sha256_of
from elir_edge.errors import GateError, UsageError
from elir_edge.families.weights import tensors_sha256
from elir_edge.formats.tflite.flatmodel import FLOAT32, activations, op_names, quantization_of, read_file, tensor_types
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.lowering.lower import lower
from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.plan import Quantization
from elir_edge.quantize.tune import TuneBudget
from elir_edge.runtime.restore import restore_picture
from elir_edge.validation.gates import gate_for
from elir_edge.validation.trials import gather_trials
from elir_edge.validation.validate import validate
from tests.helpers import refused

pytestmark = pytest.mark.slow

FEW = Quantization(CalibrationRequest(count=6), allow_degraded=True)


@pytest.fixture(scope="module")
def artifacts(tiny_restorer, tmp_path_factory):
    """The tiny model's .tflite by precision."""
    folder = tmp_path_factory.mktemp("tflite")
    return {
        "fp32": export(tiny_restorer, "tflite", "fp32", io="uint8", out=folder),
        "fp16": export(tiny_restorer, "tflite", "fp16", io="uint8", out=folder),
        "int8": export(tiny_restorer, "tflite", "int8", out=folder, quantization=FEW),
    }


def test_no_tensor_is_float_and_bytes_go_in_and_out(artifacts):
    model = read_file(artifacts["int8"].path)
    graph = model.subgraphs[0]
    assert [tensor.name for tensor in graph.tensors if tensor.type == FLOAT32] == []
    assert not {"DEQUANTIZE", "CAST", "ROUND", "MINIMUM", "RELU_0_TO_1"} & set(op_names(model))
    manifest = artifacts["int8"].manifest
    assert [(tensor.dtype, tensor.layout) for tensor in (*manifest.inputs, *manifest.outputs)] == [
        ("uint8", "NHWC")
    ] * 2


def test_steps_share_kernels_and_have_their_own_ranges(artifacts):
    kernels = {}
    for precision in ("fp32", "int8"):
        model = read_file(artifacts[precision].path)
        stored = [model.buffers[tensor.buffer].data for tensor in model.subgraphs[0].tensors if len(tensor.shape) == 4]
        kernels[precision] = sum(len(data) for data in stored if data is not None)
    assert kernels["int8"] < kernels["fp32"] / 3.5
    model = read_file(artifacts["int8"].path)
    scales = [quantization_of(model, f"state_{k}") for k in (1, 2)]
    assert scales[0] != scales[1] and {"encoded", "coarse", "state_2"} <= set(activations(model))


def test_half_precision_halves_the_file_and_keeps_the_picture(artifacts):
    assert artifacts["fp16"].size_bytes < 0.75 * artifacts["fp32"].size_bytes  # what describes the graph stays
    assert artifacts["fp16"].manifest.parity["psnr_db"] > 60


def test_the_manifest_says_what_it_was_calibrated_on(artifacts):
    told = artifacts["int8"].manifest.quantization
    assert told["calibration"]["pictures"] == 6 and len(told["calibration"]["sha256"]) == 64
    assert artifacts["fp32"].manifest.quantization is None


def test_same_request_same_bytes(artifacts, tiny_restorer, tmp_path):
    again = export(tiny_restorer, "tflite", "int8", out=tmp_path, quantization=FEW)
    assert again.path.read_bytes() == artifacts["int8"].path.read_bytes()


def test_any_spec_can_be_quantized_the_autoencoder_alone_too(tiny_spec, tmp_path):
    data = tiny_spec.to_dict() | {"estimator": None, "field": None, "steps": 0, "name": "bare"}
    bare = load_restorer(type(tiny_spec).from_dict(data, "here"), "random:0")
    artifact = export(bare, "tflite", "int8", out=tmp_path, quantization=FEW)
    with open_session(artifact.path) as session:
        assert restore_picture(session, builtin_photograph("coffee")[:70, :90]).shape == (70, 90, 3)


def test_what_makes_no_sense_is_refused(tiny_restorer, tmp_path):
    refused(UsageError, lambda: export(tiny_restorer, "tflite", "int8", io="float", out=tmp_path), "uint8")
    refused(UsageError, lambda: export(tiny_restorer, "tflite", "int8", noise="input", out=tmp_path), "baked")
    refused(UsageError, lambda: export(tiny_restorer, "tflite", "fp32", out=tmp_path, quantization=FEW), "int8")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def nano():
    return load_restorer("nano")


@pytest.fixture(scope="module")
def nano_int8(nano, tmp_path_factory):
    """At a size where 8 bits for the latent sums shift a colour by 0.89/255, which the gate does not let through."""
    folder = tmp_path_factory.mktemp("nano")
    return export(nano, "tflite", "int8", 192, out=folder)


def test_trained_weights_keep_the_picture(nano_int8, nano):
    """On photographs and noise of another seed than the export's own gate had."""
    trials = gather_trials("restoration", 192, 192, seed=7)
    manifest = nano_int8.manifest
    found = validate(nano_int8.path, manifest, nano, trials.degraded, "litert", originals=trials.originals)
    assert found.passed, found.failures
    assert found.gate == gate_for("int8") and manifest.quantization["degraded"] is False


def test_what_misses_the_gate_gets_a_finer_form(nano_int8):
    assert nano_int8.manifest.format["latent_sum_bits"] == 16
    assert "int16" in tensor_types(read_file(nano_int8.path))


def test_below_the_gate_nothing_is_published_unless_asked_for(nano, tmp_path, monkeypatch):
    monkeypatch.setattr("elir_edge.validation.gates.GATES", {"int8": type(gate_for("int8"))(psnr_db=90.0)})
    wish = Quantization(CalibrationRequest(count=4))
    small = {"precision": "int8", "size": 64, "out": tmp_path}
    refused(GateError, lambda: export(nano, "onnx", quantization=wish, **small), "90", "--allow-degraded")
    assert list(tmp_path.iterdir()) == []
    marked = export(nano, "onnx", quantization=Quantization(CalibrationRequest(count=4), allow_degraded=True), **small)
    assert marked.manifest.quantization["degraded"] is True


def test_tuning_brings_int8_nearer_and_is_repeatable(nano, tmp_path):
    plain, tuned = (
        export(nano, "onnx", "int8", 64, out=tmp_path / f"{i}.onnx", quantization=wish)
        for i, wish in enumerate(
            Quantization(CalibrationRequest(count=6), tune=budget, allow_degraded=True)
            for budget in (None, TuneBudget(steps=40))
        )
    )
    told = tuned.manifest.quantization["tuned"]
    assert told["steps"] == 40 and told["after_db"] > told["before_db"]
    assert plain.path.read_bytes() != tuned.path.read_bytes()


def test_a_tuning_of_another_length_is_not_gone_on_from(tiny_restorer, tmp_path, monkeypatch):
    """Its rates were others. Not square, with a side below that of the crops, too; a rate at which a step is felt."""
    monkeypatch.setattr("elir_edge.quantize.tune.KERNEL_RATE", 1.0)

    def exported(steps, name):
        wish = dataclasses.replace(FEW, tune=TuneBudget(steps=steps))
        return export(tiny_restorer, "onnx", "int8", "64x96", out=tmp_path / name / "x.onnx", quantization=wish)

    fresh = exported(3, "fresh")
    monkeypatch.setenv("ELIR_EDGE_CACHE", str(tmp_path / "cache"))
    exported(2, "shorter")
    assert sha256_of(exported(3, "longer").path) == sha256_of(fresh.path)


def test_what_an_interrupted_tuning_left_is_gone_on_from(nano, tmp_path):
    from elir_edge.core.progress import Silent
    from elir_edge.quantize.calibration import gather_calibration
    from elir_edge.quantize.preparation import prepare_and_tune

    calibration = gather_calibration(CalibrationRequest(count=4), nano.spec, 64, 64)

    before = tensors_sha256(nano.state_dict())

    def tuned(budgets, checkpoint):
        for steps in budgets:
            graph = lower(nano, 64)
            prepare_and_tune(graph, nano, calibration, TuneBudget(steps=steps), Silent(), checkpoint)
        assert tensors_sha256(nano.state_dict()) == before
        return graph

    once = tuned([4], None)
    twice = tuned([4, 4], tmp_path / "state.pt")
    image = fit_picture(builtin_photograph("rocket"), 64, 64).transpose(2, 0, 1)[None].astype(np.float32) / 255
    results = [graph(torch.from_numpy(image)).numpy() for graph in (once, twice)]
    assert np.array_equal(*results)
