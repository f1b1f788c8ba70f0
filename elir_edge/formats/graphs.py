"""Ops of a graph and lifetimes of its tensors, to estimate the memory on a device before a compiler runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.errors import UsageError, missing_package
from elir_edge.formats.tflite.file import read_file
from elir_edge.formats.tflite.flatmodel import constants_of, holds_data, names_of_ops, tensor_types

FREE_ONNX_OPS = ("QuantizeLinear", "DequantizeLinear")
FLOAT_BYTES = {".tflite": 4, ".onnx": 2}  # a float activation: what is not quantized, NPUs compute in fp16


@dataclass(frozen=True)
class Op:
    """One op: names of its activations, without constants; ``shapes`` and ``types`` as far as the format has them."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Graph:
    """Ops in the order of execution, size in bytes of each activation and of all constants together."""

    ops: tuple[Op, ...]
    bytes: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weight_bytes: int

    def arena_bytes(self, scratch: Sequence[int] = ()) -> int:
        """Largest size of all activations that are alive at once: the minimum of an arena of whole tensors.

        ``scratch``: bytes that each op needs besides, while it runs.
        """
        return max(map(sum, zip_longest(self._alive_per_step(), scratch, fillvalue=0)))

    def held_bytes(self) -> int:
        """``arena_bytes`` without tensors that only the next op reads, which a compiler may compute in stripes."""
        last = self._last_use()
        made = self._producing_step()
        passing = {name for name in made if last[name] - made[name] == 1 and name not in self.inputs}
        return max(self._alive_per_step(passing))

    def _alive_per_step(self, without: set[str] | None = None) -> list[int]:
        last, made = self._last_use(), self._producing_step()
        change = [0] * (len(self.ops) + 1)
        for name, size in self.bytes.items():
            if name in made and name not in (without or ()):
                change[max(made[name], 0)] += size
                change[last[name] + 1] -= size
        return [int(total) for total in np.cumsum(change)]

    def _producing_step(self) -> dict[str, int]:
        made = dict.fromkeys(self.inputs, -1)
        return made | {name: step for step, op in enumerate(self.ops) for name in op.outputs}

    def _last_use(self) -> dict[str, int]:
        last = {name: max(step, 0) for name, step in self._producing_step().items()}
        last |= {name: step for step, op in enumerate(self.ops) for name in op.inputs}
        return last | dict.fromkeys(self.outputs, len(self.ops) - 1)


def read_graph(path: Path) -> Graph:
    """The graph of a .tflite or .onnx file. Raises UsageError for other suffixes, DataError for a damaged file."""
    if path.suffix == ".tflite":
        return tflite_graphs(read_file(path))[0]
    if path.suffix == ".onnx":
        return _onnx(path)
    raise UsageError(f"{path}: the tensors of '{path.suffix}' files cannot be read", hint="give a .tflite or .onnx")


def tflite_graphs(model: Any) -> list[Graph]:
    """The graphs of the object tree of a .tflite file, the main one first."""
    weights = sum(len(buffer.data) for buffer in model.buffers if holds_data(buffer))
    return [_tflite_graph(model, graph, weights) for graph in model.subgraphs]


def _tflite_graph(model: Any, graph: Any, weights: int) -> Graph:
    types = tensor_types(graph)
    shapes = [tuple(int(side) for side in tensor.shape) for tensor in graph.tensors]
    constants = constants_of(model, graph)

    def active(indices: Any) -> list[int]:
        return [int(i) for i in indices if i >= 0 and int(i) not in constants]

    ops = tuple(
        Op(
            name,
            tuple(map(str, active(op.inputs))),
            tuple(map(str, active(op.outputs))),
            tuple(types[i] for i in (*active(op.inputs), *active(op.outputs))),
            tuple(shapes[i] for i in (*active(op.inputs), *active(op.outputs))),
        )
        for name, op in zip(names_of_ops(model, graph), graph.operators, strict=True)
    )
    sizes = {
        str(i): int(np.prod(shape)) * np.dtype(types[i]).itemsize
        for i, shape in enumerate(shapes)
        if i not in constants
    }
    return Graph(ops, sizes, tuple(map(str, graph.inputs)), tuple(map(str, graph.outputs)), weights)


def _onnx(path: Path) -> Graph:
    """Tensors between QuantizeLinear and DequantizeLinear count as their integers do, others 2 bytes a value (fp16)."""
    try:
        import onnx
    except ImportError as error:
        raise missing_package("onnx", "qnn") from error
    from elir_edge.formats.onnx.group_norm import shapes_of

    model = onnx.load_model(path, load_external_data=False)
    shapes = shapes_of(model)
    constants = {item.name: item for item in model.graph.initializer}
    quantized = {
        node.input[0]: _bytes_of(constants.get((*node.input, "", "")[2]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }
    alias: dict[str, str] = {}
    ops = []
    for node in model.graph.node:
        inputs = tuple(alias.get(name, name) for name in node.input if name and name not in constants)
        inputs = tuple(name for name in inputs if name not in constants)
        if node.op_type in FREE_ONNX_OPS or (node.op_type == "Cast" and not inputs):  # of a constant
            alias[node.output[0]] = inputs[0] if inputs else node.input[0]
            if not inputs:
                constants[node.output[0]] = constants[node.input[0]]
            continue
        ops.append(Op(node.op_type, inputs, tuple(node.output), (), tuple(shapes.get(name, ()) for name in inputs)))
    graph_outputs = tuple(alias.get(item.name, item.name) for item in model.graph.output)
    names = {name for op in ops for name in (*op.inputs, *op.outputs)}
    sizes = {name: int(np.prod(shapes.get(name, (0,)))) * quantized.get(name, FLOAT_BYTES[".onnx"]) for name in names}
    weights = sum(item.ByteSize() for item in model.graph.initializer)
    inputs = tuple(item.name for item in model.graph.input if item.name in names)
    return Graph(tuple(ops), sizes, inputs, graph_outputs, weights)


def _bytes_of(zero_point: Any) -> int:
    """Bytes of an integer of the type of ``zero_point``; a quantizer without one gives uint8."""
    from onnx import helper

    return 1 if zero_point is None else helper.tensor_dtype_to_np_dtype(zero_point.data_type).itemsize
