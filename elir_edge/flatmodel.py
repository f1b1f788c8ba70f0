"""Reading and changing what surrounds the graph in a .tflite file: names, outputs, metadata."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.errors import DataError, missing_package

FILE_IDENTIFIER = b"TFL3"
SCHEMAS = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")


def read_model(data: bytes, where: str) -> Any:
    """Unpack a .tflite file into the schema's object tree. Raises DataError, naming ``where``, for anything else."""
    if data[4:8] != FILE_IDENTIFIER:
        raise DataError(f"{where}: not a .tflite file")
    try:
        return _schema().ModelT.InitFromPackedBuf(data, 0)
    except Exception as error:  # the generated reader raises whatever the damage leads to
        raise DataError(f"{where}: damaged .tflite file ({type(error).__name__}: {error})") from error


def pack_model(model: Any) -> bytes:
    """The file's bytes, constants aligned to 16 bytes as the schema asks."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def set_metadata(model: Any, key: str, text: str) -> None:
    """Store ``text`` as the metadata buffer ``key``, replacing one of that name."""
    schema = _schema()
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


def get_metadata(model: Any, key: str) -> str | None:
    """The text of the metadata buffer ``key``, or None."""
    for entry in model.metadata or []:
        if entry.name == key.encode():
            return bytes(model.buffers[entry.buffer].data).decode(errors="replace")
    return None


def set_outputs(model: Any, names: list[str], where: str) -> None:
    """Make the tensors called ``names`` the graph's and its signature's outputs. Raises DataError if one is missing."""
    graph = model.subgraphs[0]
    index = {tensor.name.decode(): i for i, tensor in enumerate(graph.tensors)}
    missing = [name for name in names if name not in index]
    if missing:
        raise DataError(f"{where}: the graph has no tensor called {', '.join(missing)}")
    graph.outputs = [index[name] for name in names]
    signature = model.signatureDefs[0]
    signature.outputs = [_tensor_map(name, index[name]) for name in names]


def rename_tensors(model: Any) -> None:
    """Give inputs and outputs the signature's names, and every other tensor a short one: its op and a number."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    names = {op.outputs[0]: f"{_op_name(model, op)}_{i}" for i, op in enumerate(graph.operators)}
    names |= {entry.tensorIndex: entry.name.decode() for entry in (*signature.inputs, *signature.outputs)}
    for i, tensor in enumerate(graph.tensors):
        tensor.name = names.get(i, f"const_{i}").encode()


def op_names(model: Any) -> list[str]:
    """The ops of the main graph, in order, as the schema names them."""
    return [_op_name(model, op).upper() for op in model.subgraphs[0].operators]


def tensor_types(model: Any) -> list[str]:
    """The type of each tensor of the main graph, as NumPy names it."""
    names = {value: name.lower() for name, value in vars(_schema().TensorType).items() if isinstance(value, int)}
    return [names[tensor.type] for tensor in model.subgraphs[0].tensors]


def custom_codes(model: Any) -> list[str | None]:
    """The custom code of each op of the main graph, in order; None for built-in ones."""
    codes = [model.operatorCodes[op.opcodeIndex].customCode for op in model.subgraphs[0].operators]
    return [code.decode(errors="replace") if code else None for code in codes]


def _op_name(model: Any, op: Any) -> str:
    code = model.operatorCodes[op.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _builtin_names().get(number, f"op{number}").lower()


@cache
def _builtin_names() -> dict[int, str]:
    return {value: name for name, value in vars(_schema().BuiltinOperator).items() if isinstance(value, int)}


def _tensor_map(name: str, tensor: int) -> Any:
    entry = _schema().TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry


def _aligned(buffer: Any) -> Any:
    class AlignedBuffer(type(buffer)):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:
            schema = _schema()
            data = None if self.data is None else np.asarray(self.data, np.uint8)
            vector = _aligned_vector(builder, data) if data is not None and data.size else None
            schema.BufferStart(builder)
            if vector is not None:
                schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    copy = AlignedBuffer()
    copy.data = buffer.data
    return copy


def _aligned_vector(builder: Any, data: np.ndarray) -> Any:
    builder.StartVector(1, data.size, 16)
    builder.head = builder.head - data.size
    builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
    return builder.EndVector()


def read_file(path: Path) -> Any:
    """``read_model`` of a file."""
    return read_model(path.read_bytes(), str(path))


def _schema() -> Any:
    for name in SCHEMAS:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise missing_package("ai-edge-litert", "run-litert")
