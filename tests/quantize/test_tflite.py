"""int8 and fp16 .tflite files: integers from input to output, one copy of the weights, pictures near the float ones."""

import copy

import numpy as np
import pytest
import torch

from elir_edge import export, load_restorer, open_session
from elir_edge.core.progress import Silent
from elir_edge.errors import GateError, UsageError
from elir_edge.formats.tflite.file import read_file
from elir_edge.formats.tflite.flatmodel import (
    CONVOLUTIONS,
    FLOAT32,
    activations,
    float_kernels,
    op_name,
    op_names,
    quantization_of,
)
from elir_edge.imaging.pictures import builtin_photograph
from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.moves import ends_of_autoencoder
from elir_edge.quantize.plan import Quantization
from elir_edge.runtime.restore import restore_picture
from elir_edge.validation.gates import gate_for
from elir_edge.validation.trials import gather_trials
from elir_edge.validation.validate import validate
from exporters.tflite import FLOAT_PARTS, finer_form_left
from tests.helpers import refusal
from tests.quantized import convert, lower_for, noisy_feeds
from tests.tiny import LIGHT, QUICK

pytestmark = pytest.mark.slow


class Notes(Silent):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def artifacts(tiny_artifact):
    """The tiny model's .tflite by precision."""
    return {precision: tiny_artifact("tflite", precision) for precision in ("fp32", "int8")}


@pytest.fixture(scope="module")
def light_int8(light_artifact):
    return light_artifact("tflite", "int8")


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


def test_half_precision_halves_the_file_and_keeps_the_picture(light_artifact):
    half, full = (light_artifact("tflite", precision, noise="zero") for precision in ("fp16", "fp32"))
    assert half.size_bytes < 0.75 * full.size_bytes  # what describes the graph stays
    assert half.manifest.parity["psnr_db"] > 60


def test_the_manifest_says_what_it_was_calibrated_on(artifacts):
    told = artifacts["int8"].manifest.quantization
    assert told["calibration"]["pictures"] == QUICK.calibration.count and len(told["calibration"]["sha256"]) == 64
    assert artifacts["fp32"].manifest.quantization is None


def test_same_request_same_bytes(bare_artifact, bare_restorer, tmp_path):
    again = export(bare_restorer, "tflite", "int8", noise="baked:3", out=tmp_path, quantization=QUICK)
    assert again.path.read_bytes() == bare_artifact("tflite", "int8").path.read_bytes()


def test_any_spec_can_be_quantized_the_autoencoder_alone_too(bare_artifact):
    with open_session(bare_artifact("tflite", "int8").path) as session:
        assert restore_picture(session, builtin_photograph("coffee")[:70, :90]).shape == (70, 90, 3)


def test_what_makes_no_sense_is_refused(tiny_restorer, tmp_path):
    refusal(UsageError, lambda: export(tiny_restorer, "tflite", "int8", io="float", out=tmp_path), "uint8")
    refusal(UsageError, lambda: export(tiny_restorer, "tflite", "int8", noise="input", out=tmp_path), "baked")
    refusal(UsageError, lambda: export(tiny_restorer, "tflite", "fp32", out=tmp_path, quantization=QUICK), "int8")
    assert list(tmp_path.iterdir()) == []


OUT_OF_REACH = {"int8": type(gate_for("int8"))(psnr_db=90.0)}
GATES = "elir_edge.validation.gates.GATES"


@pytest.fixture(scope="module")
def finer(light_restorer, tmp_path_factory):
    """The light model, whose weights are called trained, in both forms, and the notes: its gate is out of reach."""
    notes = Notes()
    trained = load_restorer(LIGHT, light_restorer.state_dict())
    out = tmp_path_factory.mktemp("finer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GATES, OUT_OF_REACH)
        artifact = export(trained, "tflite", "int8", out=out, quantization=QUICK, progress=notes)
    return artifact, notes


def test_what_misses_the_gate_is_tried_in_a_finer_form(finer):
    artifact, notes = finer
    assert any("more accurate" in text for text in notes.texts)
    assert artifact.manifest.quantization["degraded"] is True


def test_sums_have_16_bits_only_where_the_gate_needs_them(finer, light_int8):
    assert finer[0].manifest.format["latent_sum_bits"] == 16
    assert light_int8.manifest.format["latent_sum_bits"] == 8


def test_whoever_takes_less_than_the_gate_gets_no_float_op(finer):
    assert FLOAT_PARTS not in finer[0].manifest.format
    assert not float_convolutions(read_file(finer[0].path))


def test_the_forms_follow_each_other():
    first, second = ({"latent_sum_bits": bits, "latent_sums": 3} for bits in (8, 16))
    assert finer_form_left(first, integers_only=True) and finer_form_left(first, integers_only=False)
    assert finer_form_left(second, integers_only=False) and not finer_form_left(second, integers_only=True)
    assert not finer_form_left(second | {FLOAT_PARTS: True}, integers_only=False)
    assert finer_form_left({"latent_sum_bits": 8, "latent_sums": 0}, integers_only=False)
    assert not finer_form_left({"schema": 3}, integers_only=False)  # of a precision without integers


def test_the_last_form_has_the_ends_of_the_autoencoder_in_float(light_restorer, tmp_path):
    graph = lower_for(light_restorer, "tflite", "uint8")
    rounded = copy.deepcopy(graph)
    with torch.no_grad():
        for name in ends_of_autoencoder(graph):
            rounded.get_submodule(name).weight.zero_()
    missed = {"latent_sum_bits": 16, "latent_sums": 2}
    options = {"calibration": noisy_feeds(64, "uint8"), "unrounded": graph, "missed": missed}
    model = read_file(convert(rounded, "tflite", tmp_path / "last", "int8", **options))
    kernels = [next(float_kernels(model, op)) for op in float_convolutions(model)]
    wanted = [graph.get_submodule(name).weight.numpy() for name in ends_of_autoencoder(graph)]
    assert len(kernels) == len(wanted) == 4
    made = activations(model)
    assert all(model.subgraphs[0].tensors[made[f"state_{k}"]].type == FLOAT32 for k in (1, 2))
    for kernel in kernels:
        assert any(np.array_equal(np.sort(kernel, axis=None), np.sort(other, axis=None)) for other in wanted)


def float_convolutions(model):
    """The convolutions that write floats."""
    graph = model.subgraphs[0]
    found = [op for op in graph.operators if op_name(model, op).upper() in CONVOLUTIONS]
    return [op for op in found if graph.tensors[int(op.outputs[0])].type == FLOAT32]


def test_trained_weights_keep_the_picture(tmp_path):
    """The default model, on photographs and noise of another seed than the export's own gate had."""
    nano = load_restorer("nano")
    artifact = export(nano, "tflite", "int8", 64, out=tmp_path, quantization=Quantization(CalibrationRequest(count=8)))
    trials = gather_trials("restoration", 64, 64, seed=7)
    compared = (artifact.path, artifact.manifest, nano, trials.degraded)
    found = validate(*compared, backend="litert", originals=trials.originals)
    assert found.passed, found.failures
    assert found.gate == gate_for("int8")


def test_below_the_gate_nothing_is_published_unless_asked_for(bare_restorer, tmp_path, monkeypatch):
    """In whichever form: the file misses it in the first and in the finer one. (``finer``: published where asked for.)

    What is done is the same for each target; which forms a .tflite has is held above.
    """
    monkeypatch.setattr(GATES, OUT_OF_REACH)
    wish, notes = Quantization(CalibrationRequest(count=4)), Notes()
    wanted = {"target": "onnx", "precision": "int8", "out": tmp_path, "progress": notes}
    refusal(GateError, lambda: export(bare_restorer, quantization=wish, **wanted), "90", "--allow-degraded")
    assert list(tmp_path.iterdir()) == []
    assert sum("more accurate" in text for text in notes.texts) == 1
