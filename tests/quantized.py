"""Helpers of tests of quantized graphs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from elir_edge.core.progress import Silent
from elir_edge.families.restorer import Restorer
from elir_edge.imaging.pictures import PHOTOGRAPHS, builtin_photograph, fit_picture
from elir_edge.imaging.pixels import add_noise
from elir_edge.lowering.lower import lower
from elir_edge.lowering.static import StaticRestorer
from elir_edge.pipeline.target import Conversion, get_target


def noisy_feeds(size: int, io: str = "float", first: int = 0) -> tuple[dict[str, np.ndarray], ...]:
    """Two of the package's photographs with noise, as inputs of an ``onnx`` or ``openvino`` graph."""
    feeds = []
    for name in PHOTOGRAPHS[first : first + 2]:
        pixels = add_noise(fit_picture(builtin_photograph(name), size, size), 25.0, np.random.default_rng(len(name)))
        chw = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        feeds.append({"image": pixels[None] if io == "uint8" else chw})
    return tuple(feeds)


def lower_for(restorer: Restorer, target: str, io: str = "float") -> StaticRestorer:
    """The graph that ``target`` converts, with the noise of the fixture ``tiny_artifact``."""
    chosen = get_target(target)
    layouts = {"layout": chosen.layouts[io], "latent_layout": chosen.latent_layout}
    return lower(restorer, noise="baked:3", io=io, norm=chosen.norm, **layouts)


def convert(graph: StaticRestorer, target: str, folder: Path, precision: str, **more) -> Path:
    """The file to open, written by the target's ``convert``."""
    chosen = get_target(target)
    folder.mkdir(exist_ok=True)
    chosen.convert(graph, Conversion(folder, precision, precision, Silent(), **more))
    return folder / f"{precision}{chosen.suffixes[0]}"


def psnr_db(actual: np.ndarray, expected: np.ndarray) -> float:
    """PSNR of values 0..1."""
    return float(-10 * np.log10(np.mean(np.square(actual.clip(0, 1).astype(np.float64) - expected))))


def optimize(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph that ONNX Runtime's optimizer makes of ``model``."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load_model(options.optimized_model_filepath)


def float_convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions that ONNX Runtime computes in floating point, in the graph that its optimizer makes."""
    kinds = ("Conv", "ConvTranspose", "FusedConv", "NhwcFusedConv")
    return [node.name for node in optimize(model).graph.node if node.op_type in kinds]
