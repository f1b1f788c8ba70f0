"""Evaluates Core ML programs op by op in PyTorch, for systems without Core ML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from elir_edge.formats.mlpackage import block_of, read_spec

WEIGHTS = Path("Data", "com.apple.CoreML", "weights", "weight.bin")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "int32": torch.int32}
Arguments = dict[str, Any]


def evaluate(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the program by name, for float32 inputs as its specification describes them."""
    spec = read_spec(path)
    values: dict[str, Any] = {name: torch.from_numpy(array) for name, array in feeds.items()}
    for op in block_of(spec).operations:
        bound = {key: [values[item.name] for item in given.arguments] for key, given in op.inputs.items()}
        arguments = {key: found if key == "values" else found[0] for key, found in bound.items()}
        (output,) = op.outputs
        values[output.name] = constant(path, op) if op.type == "const" else OPS[op.type](arguments)
    return {name: value.float().numpy() for name, value in values.items() if isinstance(value, Tensor)}


def constant(path: Path, op: Any) -> Any:
    """A constant's value: a tensor where it lies in the weight file, else plain Python data."""
    value = op.attributes["val"]
    if value.WhichOneof("value") == "blobFileValue":
        from coremltools.libmilstoragepython import _BlobStorageReader as Reader

        shape = [int(dimension.constant.size) for dimension in value.type.tensorType.dimensions]
        reader, offset = Reader(str(path / WEIGHTS)), value.blobFileValue.offset
        half = value.type.tensorType.dataType == 10
        bits = reader.read_fp16_data(offset) if half else reader.read_float_data(offset)
        array = np.array(bits, np.uint16).view(np.float16) if half else np.array(bits, np.float32)
        return torch.from_numpy(array.reshape(shape))
    tensor = value.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    shape = [int(dimension.constant.size) for dimension in value.type.tensorType.dimensions]
    if kind == "bytes":
        return torch.from_numpy(np.frombuffer(tensor.bytes.values, np.float16).reshape(shape).copy())
    data = list(getattr(tensor, kind).values)
    if kind == "floats":
        return torch.tensor(data, dtype=torch.float32).reshape(shape)
    return data if shape else data[0]


def _conv(a: Arguments) -> Tensor:
    x = F.pad(a["x"], _pads(a))
    return F.conv2d(x, a["weight"], a.get("bias"), a["strides"], 0, a["dilations"], a["groups"])


def _conv_transpose(a: Arguments) -> Tensor:
    full = F.conv_transpose2d(a["x"], a["weight"], a.get("bias"), a["strides"], 0, 0, a["groups"], a["dilations"])
    top_left_cut = [-side for side in _pads(a)]
    return F.pad(full, top_left_cut)


def _pads(a: Arguments) -> list[int]:
    assert a["pad_type"] == "custom" or (a["pad_type"] == "valid" and not any(a.get("pad", [])))
    top, bottom, left, right = a.get("pad", [0, 0, 0, 0])
    return [left, right, top, bottom]


def _upsample(a: Arguments) -> Tensor:
    scale = (float(a["scale_factor_height"]), float(a["scale_factor_width"]))
    return F.interpolate(a["x"], scale_factor=scale, mode="nearest")


OPS: dict[str, Callable[[Arguments], Any]] = {
    "add": lambda a: a["x"] + a["y"],
    "cast": lambda a: a["x"].to(DTYPES[a["dtype"]]),
    "clip": lambda a: a["x"].clamp(float(a["alpha"]), float(a["beta"])),
    "concat": lambda a: torch.cat(a["values"], a["axis"]),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "mul": lambda a: a["x"] * a["y"],
    "reduce_mean": lambda a: a["x"].mean(a["axes"], keepdim=a["keep_dims"]),
    "relu": lambda a: a["x"].relu(),
    "round": lambda a: a["x"].round(),
    "rsqrt": lambda a: (a["x"] + a["epsilon"]).rsqrt(),
    "silu": lambda a: F.silu(a["x"]),
    "sub": lambda a: a["x"] - a["y"],
    "tanh": lambda a: a["x"].tanh(),
    "transpose": lambda a: a["x"].permute(a["perm"]),
    "upsample_nearest_neighbor": _upsample,
}
