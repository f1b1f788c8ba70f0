"""Estimates of whether a model fits a device: lifetimes, ops, memory, and proposed changes."""

import dataclasses
import json
import re
from functools import partial

import pytest
from torch import nn

from elir_edge import load_restorer, lower
from elir_edge.artifacts.artifact import Artifact
from elir_edge.cli import run
from elir_edge.errors import ElirEdgeError, UsageError
from elir_edge.families.elir.spec import ElirSpec
from elir_edge.families.latent_pmrf.spec import ModuleSpec
from elir_edge.formats.graphs import Graph, Op
from elir_edge.npu.compile import compile_artifact
from elir_edge.npu.device import get_device, known_devices
from elir_edge.npu.fit import Model, fit_artifact, fit_model, judge
from elir_edge.npu.memory import whole_bytes
from elir_edge.npu.op_graph import graph_of
from tests.artifacts.samples import manifest
from tests.helpers import refusal
from tests.robustness.faults import write_tflite
from tests.tiny import LIGHT, OWN, SPEC

KIB = 1024
# x is read at once by a and again, much later, by c; b is read by the next op only.
LONG_LIVED = Graph(
    ops=(
        Op("CONV_2D", ("x",), ("a",), ("int8",)),
        Op("CONV_2D", ("a",), ("b",), ("int8",)),
        Op("ADD", ("b", "x"), ("c",), ("int8",)),
    ),
    bytes={"x": 100 * KIB, "a": 400 * KIB, "b": 200 * KIB, "c": 100 * KIB},
    inputs=("x",),
    outputs=("c",),
    weight_bytes=50 * KIB,
)
BOARD = """
family: board
compiler: vela
figures: estimated
about: a test
types: [int8, uint8]
ops: [ADD, CONV_2D, MEAN, RESIZE_NEAREST_NEIGHBOR]
resize_factors: [2]
mean_elements_int16: 100
devices:
  - name: board
    memory: {sram_kib: %d, flash_kib: 100, arena: sram, weights: flash}
    options: [accelerator-config=ethos-u55-128]
"""


def board(tmp_path, sram_kib: int = 1000):
    path = tmp_path / "board.yaml"
    path.write_text(BOARD % sram_kib)
    return get_device(str(path))


def model(graph: Graph) -> Model:
    return Model("m", graph, ElirSpec(), (256, 256), "int8")


def test_lifetimes():
    assert LONG_LIVED.arena_bytes() == 700 * KIB  # x, a and b
    assert LONG_LIVED.held_bytes() == 200 * KIB  # x and c: a and b pass by in stripes


@pytest.mark.parametrize(("sram_kib", "verdict"), [(700, "yes"), (699, "tight"), (340, "tight"), (300, "no")])
def test_the_arena_decides(tmp_path, sram_kib, verdict):
    result = judge(model(LONG_LIVED), board(tmp_path, sram_kib))
    assert result.verdict == verdict
    assert result.fits == (verdict != "no")
    assert bool(result.problems) == (verdict == "no")


def test_weights_decide_too(tmp_path):
    heavy = dataclasses.replace(LONG_LIVED, weight_bytes=101 * KIB)
    result = judge(model(heavy), board(tmp_path))
    assert result.verdict == "no"
    assert "101 KiB of flash" in result.problems[0]


def test_ops_that_leave_are_counted_with_their_reason(tmp_path):
    ops = (
        Op("CONV_2D", ("x",), ("a",), ("float32",)),
        Op("TANH", ("a",), ("b",), ("int8",)),
        Op("MEAN", ("b",), ("c",), ("int8", "int16"), ((1, 11, 10, 8), (1, 1, 1, 8))),
        Op("RESIZE_NEAREST_NEIGHBOR", ("c",), ("d",), ("int8",), ((1, 4, 4, 8), (1, 12, 12, 8))),
        Op("RESIZE_NEAREST_NEIGHBOR", ("d",), ("e",), ("int8",), ((1, 4, 4, 8), (1, 8, 8, 8))),
    )
    graph = Graph(ops, dict.fromkeys("xabcde", 1), ("x",), ("e",), 1)
    result = judge(model(graph), board(tmp_path))
    assert [told.partition(":")[0] for told in result.leaving] == ["CONV_2D", "MEAN", "RESIZE_NEAREST_NEIGHBOR", "TANH"]
    assert sum(result.leaving.values()) == 4
    assert result.verdict == "no" and "4 of 5 ops" in result.problems[0]


def test_an_int8_artifact_with_parts_in_float_is_told_how_to_be_without(tmp_path):
    graph = Graph((Op("ADD", ("x", "x"), ("a",), ("float32",)),), {"x": 1, "a": 1}, ("x",), ("a",), 1)
    floats = dataclasses.replace(model(graph), float_parts=True)
    assert [told.split(":")[0] for told in judge(floats, board(tmp_path)).changes] == ["--allow-degraded"]
    assert judge(model(graph), board(tmp_path)).changes == ()


@pytest.mark.slow
def test_the_size_it_proposes_fits(tmp_path):
    graph = lower(load_restorer(SPEC), 128, io="uint8", layout="NHWC", latent_layout="NHWC", norm="pointwise")
    large = Model("tiny", graph_of(graph, "int8"), SPEC, (128, 128), "int8")
    small = get_device(str(_small_board(tmp_path, judge(large, board(tmp_path, 10**6)).striped_kib - 1)))
    verdict = judge(large, small)
    assert verdict.verdict == "no"
    side = int(re.search(r"--size (\d+)", " ".join(verdict.changes))[1])
    assert fit_model(SPEC, (side, side), "int8", small, "tiny").fits


def _small_board(tmp_path, sram_kib: int):
    path = tmp_path / "small.yaml"
    ops = ", ".join(known_devices()["ethos-u85-256"].shared.ops)
    path.write_text(
        (BOARD % sram_kib).replace("flash_kib: 100", "flash_kib: 100000").replace("ADD, CONV_2D, MEAN", ops)
        .replace(", RESIZE_NEAREST_NEIGHBOR]", "]")
    )  # fmt: skip
    return path


@pytest.mark.parametrize(("precision", "clips"), [("fp32", 1), ("fp16", 1), ("int8", 0)])
def test_the_clip_of_floats_is_an_op(precision, clips):
    """Converters fold it into the last integers' range, and into no float."""
    restorer = load_restorer(SPEC)
    rows = lower(restorer, 64, layout="NHWC", latent_layout="NHWC", norm="pointwise")
    for graph, suffix, name, width in ((rows, ".tflite", "RELU_0_TO_1", 4), (lower(restorer, 64), ".onnx", "Clip", 2)):
        found = graph_of(graph, precision, suffix)
        assert [op.name for op in found.ops].count(name) == clips
        assert found.bytes[found.outputs[0]] == 64 * 64 * 3 * (width if clips else 1)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_a_model_is_judged_as_its_artifact_is(target, tiny_artifact):
    artifact = tiny_artifact(target)
    device = known_devices()["tflite-micro"] if target == "tflite" else known_devices()["htp-v75"]
    from_file = fit_artifact(artifact, device)
    before = fit_model(SPEC, (64, 64), "fp32", device, "tiny")
    assert before.arena_kib == pytest.approx(from_file.arena_kib, rel=0.1)
    assert before.weights_kib == pytest.approx(from_file.weights_kib, rel=0.1)
    assert before.leaving == from_file.leaving


@pytest.mark.slow
def test_w8a16_is_judged_before_and_after_the_export(light_artifact):
    device, other = known_devices()["htp-v75"], known_devices()["ethos-u85-256"]
    from_file = fit_artifact(light_artifact("onnx", "w8a16"), device)
    before = fit_model(LIGHT, (64, 64), "w8a16", device, "light")
    for result in (from_file, before):
        assert (result.verdict, result.leaving, result.recommended) == ("yes", {}, "w8a16")
    assert before.arena_kib == pytest.approx(from_file.arena_kib, rel=0.1)
    integers = fit_model(LIGHT, (64, 64), "int8", device, "light")
    assert before.arena_kib == pytest.approx(2 * integers.arena_kib, rel=0.1)
    assert before.weights_kib == integers.weights_kib
    refused = fit_model(LIGHT, (64, 64), "w8a16", other, "light")
    assert (refused.verdict, refused.recommended) == ("no", "int8")
    assert all("uint16" in told for told in refused.leaving)


@pytest.mark.slow
def test_the_command_line_tells_verdict_and_way_out(tiny_artifact, tmp_path, capsys):
    spec = tmp_path / "tiny.yaml"
    spec.write_text(SPEC.to_yaml())
    assert run(["fit", str(spec), "--for", "ethos-u85-256", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["leaving"], told["precision"]) == ("yes", {}, "int8")
    assert run(["fit", str(spec), "--for", "htp-v75"]) == 0
    said = capsys.readouterr().out
    assert "w8a16" in said and "integers only" not in said
    assert run(["fit", str(spec), "--for", "htp-v75", "--precision", "int8"]) == 0
    said = capsys.readouterr().out
    assert "recommended for it: --precision w8a16" in said and "judged with integers only" in said
    assert run(["fit", str(spec), "--for", "ethos-u55-128", "--precision", "fp32"]) == 1
    assert "--precision int8" in capsys.readouterr().out
    assert run(["fit", str(tiny_artifact("onnx").path), "--for", "htp-v75", "--size", "64"]) == UsageError.exit_code


class Halves(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(3, 6, 1)

    def forward(self, image):
        left, right = self.wide(image).chunk(2, 1)
        return left * right


def test_an_op_of_several_outputs_is_named():
    own = dataclasses.replace(OWN, estimator=ModuleSpec(path=f"{__name__}:Halves"))
    for name in ("ethos-u85-256", "htp-v75"):
        device = known_devices()[name]
        refusal(ElirEdgeError, partial(fit_model, own, (32, 32), "int8", device, "own"), "chunk", "export it")


def test_the_arena_of_tflite_micro_has_sums_and_records(tmp_path):
    """As its interpreter told of nano in int8: a transposed convolution sums 32-bit values, and kernels have scales."""
    shapes = ((1, 4, 4, 8), (1, 8, 8, 8))
    ops = (
        Op("TRANSPOSE_CONV", ("x",), ("a",), ("int8", "int8"), shapes),
        Op("ADD", ("a", "x"), ("b",), ("int8", "int8"), shapes),
    )
    graph = Graph(ops, {"x": 128, "a": 512, "b": 512}, ("x",), ("b",), 1)
    records = 2 * 224 + 8 * 8
    micro = known_devices()["tflite-micro"]
    assert whole_bytes(graph, micro, "int8") == 128 + 512 + 4 * 512 + records
    floats = dataclasses.replace(graph, ops=tuple(dataclasses.replace(op, types=("float32",)) for op in ops))
    assert whole_bytes(floats, micro, "fp32") == graph.arena_bytes() + 2 * 224
    assert whole_bytes(graph, board(tmp_path), "int8") == graph.arena_bytes() == 128 + 512 + 512


def test_what_the_compiler_does_not_take_is_no_fault_of_the_model(tmp_path):
    """The same refusals as ``compile``'s, with the same way out."""
    path = write_tflite(tmp_path / "a.tflite")
    whole, made = Artifact(path, manifest()), {"device": "other", "made_from": {"name": "b.tflite"}}
    known = known_devices()
    unknown = tmp_path / "velo.yaml"
    unknown.write_text((BOARD % 100).replace("compiler: vela", "compiler: velo"))
    for artifact, device, said in (
        (whole, known["htp-v75"], "--target onnx --precision w8a16"),
        (Artifact(path, manifest(compiled=made)), known["ethos-u55-256"], "b.tflite"),
        (Artifact(path, manifest(split={"most_steps": 2})), known["ethos-u55-256"], "--split"),
        (whole, get_device(str(unknown)), "'vela'"),
    ):
        error = refusal(UsageError, partial(fit_artifact, artifact, device))
        assert said in error.hint
        assert error.hint == refusal(UsageError, partial(compile_artifact, artifact, device)).hint
