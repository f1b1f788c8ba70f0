"""What every fault of the campaign has to end in, and small real artifacts to try them on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elir_edge.artifacts.artifact import MANIFEST_KEY, Manifest, sidecar
from elir_edge.artifacts.golden import Golden, golden_path, pack_golden
from elir_edge.artifacts.signature import IMAGE, RESTORED, TensorSpec
from elir_edge.core.files import sha256_of
from tests.helpers import Outcome, manifest_without_files, snapshot

SIDE = 32
CANARY = "canary"
TINY = """
name: tiny
size: 64
steps: 2
autoencoder: {latent_channels: 4, width: 8, levels: 2, blocks: 1}
estimator: {hidden: 8, blocks: 1}
field: {kind: residual, widths: [16], blocks: [1], time_features: 16}
weights: random:0
"""
Prepare = Callable[[Path], object]


@dataclass(frozen=True)
class Fault:
    """``arguments`` of a command that has to end in ``code``, with all of ``named`` in its message: file, reason, fix.

    ``prepare`` lays out in a folder what is wrong there.
    """

    code: int
    arguments: tuple[str, ...]
    named: tuple[str, ...]
    prepare: Prepare = lambda folder: None


def assert_refused(fault: Fault, folder: Path, run: Callable[..., Outcome]) -> None:
    """The exit code; one message, with what to do; no traceback; nothing written, changed, run or left behind."""
    fault.prepare(folder)
    before = snapshot(folder)
    assert_told(run(*fault.arguments), fault.code, *fault.named)
    assert snapshot(folder) == before
    assert not (folder / CANARY).exists()


def assert_told(outcome: Outcome, code: int, *named: str) -> None:
    """The exit code, each of ``named`` on stderr, what to do next, and but words; stdout holds no result."""
    assert outcome.code == code, f"{outcome.code}: {outcome.err}"
    for text in named:
        assert text in outcome.err, f"'{text}' is not in: {outcome.err}"
    assert "Traceback" not in outcome.err and "a bug in elir-edge" not in outcome.err
    assert "\n  -> " in outcome.err or code == 2, f"no word on what to do: {outcome.err}"
    assert outcome.out in ("", "0 of 1 restored\n")


def manifest(**changes: object) -> Manifest:
    """The manifest of an artifact that gives its picture back."""
    image = TensorSpec(IMAGE, (1, 3, SIDE, SIDE), "float32", "NCHW", "RGB 0..1")
    tensors = {"inputs": (image,), "outputs": (dataclasses.replace(image, name=RESTORED),), "size": (SIDE, SIDE)}
    return dataclasses.replace(manifest_without_files(), **tensors | changes)


def identity_model(text: str | None, location: str | None = None):
    """A graph that adds zeros to its picture; ``location``: the file to keep the zeros in, as external data."""
    import onnx

    zeros = onnx.numpy_helper.from_array(np.zeros(SIDE, np.float32), "zeros")
    if location is not None:
        zeros.ClearField("raw_data")
        zeros.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(4 * SIDE))):
            zeros.external_data.add(key=key, value=value)
    shape = [1, 3, SIDE, SIDE]
    image, restored = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in (IMAGE, RESTORED)
    )
    node = onnx.helper.make_node("Add", [IMAGE, "zeros"], [RESTORED])
    graph = onnx.helper.make_graph([node], "graph", [image], [restored], [zeros])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    if text is not None:
        onnx.helper.set_model_props(model, {MANIFEST_KEY: text})
    return model


def write_onnx(path: Path, beside: bool = True) -> Path:
    """A small .onnx artifact that gives its picture back, with golden file and manifest as an export writes them."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    golden = golden_path(path)
    golden.write_bytes(pack_golden(Golden(pixels, None, (pixels / 255).astype(np.float32))))
    facts = {
        "file": golden.name, "sha256": sha256_of(golden), "picture": "noise", "backend": "onnxruntime",
        "backend_version": "1", "max_abs": 1e-4, "elsewhere_db": None,
    }  # fmt: skip
    whole = manifest(golden=facts)
    path.write_bytes(identity_model(whole.to_json()).SerializeToString())
    if beside:
        write_beside(path, whole)
    return path


def write_ir(path: Path, beside: bool = True) -> Path:
    """The same as OpenVINO IR: .xml and .bin."""
    import openvino
    from openvino import opset13

    image = opset13.parameter([1, 3, SIDE, SIDE], np.float32, name=IMAGE)
    image.output(0).set_names({IMAGE})
    total = opset13.add(image, opset13.constant(np.zeros((1, 1, 1, SIDE), np.float32)))
    total.output(0).set_names({RESTORED})
    model = openvino.Model([opset13.result(total)], [image], "identity")
    whole = manifest(target="openvino")
    model.set_rt_info(whole.to_json(), [MANIFEST_KEY])
    openvino.save_model(model, path, compress_to_fp16=False)
    if beside:
        write_beside(path, whole, path.with_suffix(".bin"))
    return path


def write_beside(path: Path, whole: Manifest, *others: Path) -> None:
    """The manifest beside an artifact, with hashes that agree."""
    files = {file.name: sha256_of(file) for file in (path, *others)}
    sidecar(path).write_text(dataclasses.replace(whole, files=files).to_json())


def write_tflite(path: Path) -> Path:
    """The same as .tflite, bytes of a flatbuffer with one ADD, without a manifest beside it."""
    from elir_edge.formats.tflite.edit import set_metadata
    from elir_edge.formats.tflite.file import load_schema, pack_model

    schema = load_schema()

    def new(kind: str, **values: object):
        item = getattr(schema, f"{kind}T")()
        for name, value in values.items():
            setattr(item, name, value)
        return item

    def tensor(name: str, shape: list[int], buffer: int):
        return new("Tensor", name=name.encode(), shape=np.asarray(shape, np.int32), buffer=buffer, type=0)

    def entry(name: str, index: int):
        return new("TensorMap", name=name.encode(), tensorIndex=index)

    zeros = new("Buffer", data=np.zeros(4 * SIDE * 3, np.uint8))
    tensors = [
        tensor(IMAGE, [1, SIDE, SIDE, 3], 0),
        tensor("zeros", [1, 1, SIDE, 3], 1),
        tensor(RESTORED, [1, SIDE, SIDE, 3], 0),
    ]
    add = new("Operator", opcodeIndex=0, inputs=np.asarray([0, 1], np.int32), outputs=np.asarray([2], np.int32))
    add.builtinOptionsType, add.builtinOptions = schema.BuiltinOptions.AddOptions, new("AddOptions")
    graph = new("SubGraph", name=b"main", tensors=tensors, operators=[add])
    graph.inputs, graph.outputs = np.asarray([0], np.int32), np.asarray([2], np.int32)
    signature = new("SignatureDef", signatureKey=b"restore", inputs=[entry(IMAGE, 0)], outputs=[entry(RESTORED, 2)])
    model = new("Model", version=3, description=b"identity", subgraphs=[graph], signatureDefs=[signature], metadata=[])
    model.operatorCodes = [new("OperatorCode", builtinCode=0, deprecatedBuiltinCode=0, version=1)]
    model.buffers = [new("Buffer"), zeros]
    image = dataclasses.replace(manifest().inputs[0], shape=(1, SIDE, SIDE, 3), layout="NHWC")
    whole = manifest(
        target="tflite", layout="NHWC", inputs=(image,), outputs=(dataclasses.replace(image, name=RESTORED),)
    )
    set_metadata(model, MANIFEST_KEY, whole.to_json())
    path.write_bytes(pack_model(model))
    return path
