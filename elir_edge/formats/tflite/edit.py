"""Edits of a .tflite file's object tree: names, metadata, further tensors and ops."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from elir_edge.formats.tflite.file import load_schema
from elir_edge.formats.tflite.flatmodel import (
    FLOAT16,
    FLOAT32,
    INT32,
    activations,
    op_name,
    producer_of,
    tensor_name,
)

DEQUANTIZE, DEQUANTIZE_VERSION = 6, 2
QUANTIZE, QUANTIZE_VERSION = 114, 2
GATHER, GATHER_VERSION, GATHER_OPTIONS = 36, 1, 23


def set_metadata(model: Any, key: str, text: str) -> None:
    """Store ``text`` as the metadata buffer ``key``; an existing one is replaced."""
    schema = load_schema()
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    for entry in model.metadata or []:
        if entry.name == key.encode():
            model.buffers[entry.buffer] = buffer
            return
    entry = schema.MetadataT()
    entry.name, entry.buffer = key, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]


def rename_tensors(model: Any) -> None:
    """Rename inputs and outputs as in the signature, activations to ``conv_2d_7``, constants to ``const_7``."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    names = {op.outputs[0]: f"{op_name(model, op)}_{i}" for i, op in enumerate(graph.operators)}
    names |= {entry.tensorIndex: entry.name.decode() for entry in (*signature.inputs, *signature.outputs)}
    for i, tensor in enumerate(graph.tensors):
        tensor.name = names.get(i, f"const_{i}").encode()


def add_constant(model: Any, index: int, values: np.ndarray) -> int:
    """Add a constant like the one at ``index`` with ``values``; returns its index."""
    graph, schema = model.subgraphs[0], load_schema()
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor = copy.copy(graph.tensors[index])
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_half_constant(model: Any, index: int, values: np.ndarray) -> int:
    """Add a float16 constant of the shape of the one at ``index``; returns its index."""
    half = add_constant(model, index, values)
    tensor = model.subgraphs[0].tensors[half]
    tensor.type, tensor.name = FLOAT16, tensor.name + b"_half"
    return half


def drop_unused(model: Any) -> None:
    """Remove tensors and buffers that nothing in the main graph refers to."""
    graph = model.subgraphs[0]
    used = {int(i) for op in graph.operators for i in (*op.inputs, *op.outputs) if i >= 0}
    used |= {int(i) for i in (*graph.inputs, *graph.outputs)}
    kept = sorted(used)
    index = {old: new for new, old in enumerate(kept)}
    graph.tensors = [graph.tensors[i] for i in kept]
    for op in graph.operators:
        op.inputs = np.array([index.get(int(i), -1) for i in op.inputs], np.int32)
        op.outputs = np.array([index[int(i)] for i in op.outputs], np.int32)
    graph.inputs, graph.outputs = ([index[int(i)] for i in ports] for ports in (graph.inputs, graph.outputs))
    for entry in (*model.signatureDefs[0].inputs, *model.signatureDefs[0].outputs):
        entry.tensorIndex = index[entry.tensorIndex]
    _drop_unused_buffers(model)


def _drop_unused_buffers(model: Any) -> None:
    """Buffer 0 stays: the schema reserves it as the empty one."""
    holders = [*model.subgraphs[0].tensors, *(model.metadata or [])]
    kept = [0, *sorted({holder.buffer for holder in holders} - {0})]
    index = {old: new for new, old in enumerate(kept)}
    model.buffers = [model.buffers[i] for i in kept]
    for holder in holders:
        holder.buffer = index[holder.buffer]


def drop_clip(model: Any, name: str, kinds: Sequence[str]) -> None:
    """Remove, in place, the ops of ``kinds`` right before the tensor ``name``; what they read takes the name."""
    graph = model.subgraphs[0]
    made = activations(model)
    op, kind = producer_of(model, made[name])
    while kind in kinds:
        clipped = int(op.outputs[0])
        (source,) = (int(i) for i in op.inputs if int(i) in made.values())
        for reader in graph.operators:
            reader.inputs = np.array([source if int(i) == clipped else int(i) for i in reader.inputs], np.int32)
        graph.operators = [other for other in graph.operators if other is not op]
        graph.tensors[clipped].name = f"{name}_clipped_{clipped}".encode()  # unread from here on; names stay unique
        graph.tensors[source].name = name.encode()
        op, kind = producer_of(model, source)


def add_tensor(model: Any, like: int, name: str, kind: int, zero_point: int) -> int:
    """Add a tensor of the shape and scale of ``like`` (scale 1 where that is float); returns its index.

    ``kind`` is a number of the schema's TensorType.
    """
    graph, schema = model.subgraphs[0], load_schema()
    source = graph.tensors[like]
    tensor, quantization = schema.TensorT(), schema.QuantizationParametersT()
    scale = source.quantization.scale if source.quantization is not None else None
    quantization.scale = np.ones(1, np.float32) if scale is None else scale
    quantization.zeroPoint = np.array([zero_point], np.int64)
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), source.shape, kind, 0
    tensor.quantization = quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_op(model: Any, position: int, builtin: int, version: int, source: int, result: int) -> None:
    """Insert an op without options, of one input and one output, at ``position`` in the order of execution."""
    schema = load_schema()
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = _op_code(model, builtin, version), [source], [result]
    model.subgraphs[0].operators.insert(position, op)


def add_plain(model: Any, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Add a tensor of float32 or int32 without scale or constant; returns its index."""
    graph, tensor = model.subgraphs[0], load_schema().TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), np.array(shape, np.int32), 0
    tensor.type = {"float32": FLOAT32, "int32": INT32}[dtype.name]
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def look_up(model: Any, table: np.ndarray, row: int, result: int) -> None:
    """Insert an op at the start that writes the row ``row`` of ``table`` into ``result``, which nothing else writes.

    ``row`` and ``result`` are tensors: int32 of shape 1, and one of the table's type.
    """
    graph, schema = model.subgraphs[0], load_schema()
    constant = add_plain(model, f"{tensor_name(model, result)}_table", table.dtype, table.shape)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(table.tobytes(), np.uint8)
    model.buffers.append(buffer)
    graph.tensors[constant].buffer = len(model.buffers) - 1
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = _op_code(model, GATHER, GATHER_VERSION), [constant, row], [result]
    op.builtinOptionsType, op.builtinOptions = GATHER_OPTIONS, schema.GatherOptionsT()
    graph.operators.insert(0, op)


def _op_code(model: Any, builtin: int, version: int) -> int:
    for i, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
            code.version = max(code.version, version)
            return i
    code = load_schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
