"""Other conversions of a PyTorch model for a device, as their documentation shows them; each writes one file.

python -m benchmarks.conversions NAME PRESET WEIGHTS FOLDER    writes FOLDER/NAME.*, and prints the path to open

Each gets the plain model of ``load_restorer``: nothing of elir-edge's lowering, except for ncnn, which cannot convert
modules that are called more than once and gets the lowered graph with a copy of the field for each step.
"""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from elir_edge.errors import DataError, missing_package
from elir_edge.families.restorer import Restorer
from elir_edge.families.weights import load_restorer
from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration

CALIBRATION_COUNT = 20


@dataclass(frozen=True)
class Peer:
    """A conversion: ``label`` for the table, the ``file`` that it writes, backend and precision."""

    label: str
    file: str
    backend: str
    precision: str
    convert: Callable[[Restorer, Path], None]


def plain_onnx(restorer: Restorer, folder: Path) -> None:
    """torch.onnx.export, dynamo, all else at its default."""
    import torch

    torch.onnx.export(restorer, _example(restorer), folder / "plain.onnx", dynamo=True, external_data=False)


def plain_litert(restorer: Restorer, folder: Path) -> None:
    """litert_torch.convert, all at its default."""
    import litert_torch

    litert_torch.convert(restorer, _example(restorer)).export(str(folder / "plain.tflite"))


def stock_litert_int8(restorer: Restorer, folder: Path) -> None:
    """ai-edge-quantizer's static int8 recipe on the plain conversion, with its own calibration; floats in and out."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe

    plain_litert(restorer, folder)
    work = quantizer.Quantizer(str(folder / "plain.tflite"))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    for edge in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        work.update_quantization_recipe(".*", edge, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE)
    samples = [{"args_0": picture} for picture in _calibration(restorer)]
    result = work.quantize(work.calibrate({"serving_default": samples}))
    result.export_model(str(folder / "plain_int8.tflite"), overwrite=True)


def plain_openvino(restorer: Restorer, folder: Path) -> None:
    """openvino.convert_model on the PyTorch model, weights in fp32."""
    import openvino

    openvino.save_model(_openvino_model(restorer), folder / "plain.xml", compress_to_fp16=False)


def nncf_default(restorer: Restorer, folder: Path) -> None:
    """nncf.quantize on the result of openvino.convert_model, all at its default."""
    import nncf
    import openvino

    quantized = nncf.quantize(_openvino_model(restorer), nncf.Dataset(_calibration(restorer)))
    openvino.save_model(quantized, folder / "plain_int8.xml", compress_to_fp16=False)


def ncnn_pnnx(restorer: Restorer, folder: Path) -> None:
    """pnnx on a trace. Raises DataError, naming the ops, where it leaves some that ncnn does not have."""
    import torch
    from torch import nn

    from elir_edge.lowering.lower import lower

    try:
        import pnnx
    except ImportError as error:
        raise missing_package("pnnx", "peers") from error
    graph = lower(restorer)
    graph.steps = nn.ModuleList(copy.deepcopy(step) for step in graph.steps)
    example = _example(restorer)
    torch.jit.trace(graph, example, check_trace=False).save(str(folder / "ncnn.pt"))
    shape = ",".join(map(str, example[0].shape))
    program = Path(pnnx.__file__).parent / "pnnx"
    subprocess.run([program, "ncnn.pt", f"inputshape=[{shape}]", "fp16=0"], cwd=folder, check=True, capture_output=True)
    for made, kept in (("ncnn.ncnn.param", "ncnn.param"), ("ncnn.ncnn.bin", "ncnn.bin")):
        (folder / made).replace(folder / kept)
    lines = (folder / "ncnn.param").read_text().splitlines()[2:]
    left = sorted({line.split()[0] for line in lines if "." in line.split()[0]})
    if left:
        raise DataError(f"pnnx left ops that ncnn does not have: {', '.join(left)}")


PEERS = {
    "onnx": Peer("torch.onnx.export in onnxruntime", "plain.onnx", "onnxruntime", "fp32", plain_onnx),
    "openvino": Peer("ov.convert_model in openvino", "plain.xml", "openvino", "fp32", plain_openvino),
    "openvino-int8": Peer("ov.convert_model + NNCF default", "plain_int8.xml", "openvino", "int8", nncf_default),
    "litert": Peer("litert_torch.convert in litert", "plain.tflite", "litert", "fp32", plain_litert),
    "litert-int8": Peer("litert_torch + stock int8", "plain_int8.tflite", "litert", "int8", stock_litert_int8),
    "ncnn": Peer("ncnn through pnnx", "ncnn.param", "ncnn", "fp32", ncnn_pnnx),
}


def _example(restorer: Restorer) -> tuple[Any]:
    import torch

    return (torch.rand(1, 3, restorer.spec.size, restorer.spec.size),)


def _openvino_model(restorer: Restorer) -> Any:
    import openvino

    (example,) = _example(restorer)
    model = openvino.convert_model(restorer, example_input=example, input=list(example.shape))
    model.output(0).set_names({"restored"})
    return model


def _calibration(restorer: Restorer) -> list[np.ndarray]:
    """The calibration pictures of our artifacts, float32 1 x 3 x H x W in [0, 1]."""
    side = restorer.spec.size
    pictures = gather_calibration(CalibrationRequest(count=CALIBRATION_COUNT), restorer.spec, side, side).pictures
    return [(picture.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32) for picture in pictures]


@click.command()
@click.argument("name", type=click.Choice(sorted(PEERS)))
@click.argument("preset")
@click.argument("weights")
@click.argument("folder", type=click.Path(path_type=Path))
def main(name: str, preset: str, weights: str, folder: Path) -> None:
    """Convert, and print the path of the file to open."""
    folder.mkdir(parents=True, exist_ok=True)
    PEERS[name].convert(load_restorer(preset, weights), folder)
    click.echo(str(folder / PEERS[name].file))


if __name__ == "__main__":
    main()
