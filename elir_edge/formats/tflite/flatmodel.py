"""Reading and changing what surrounds the graph in a .tflite file: names, outputs, metadata."""

from __future__ import annotations

import copy
import importlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.errors import DataError, missing_package

FILE_IDENTIFIER = b"TFL3"
FLOAT32, FLOAT16, UINT8 = 0, 1, 3
DEQUANTIZE, DEQUANTIZE_VERSION = 6, 2
QUANTIZE, QUANTIZE_VERSION = 114, 2
SCHEMAS = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")


def read_model(data: bytes, where: str) -> Any:
    """Unpack a .tflite file into the schema's object tree. Raises DataError, naming ``where``, for anything else."""
    if data[4:8] != FILE_IDENTIFIER:
        raise DataError(f"{where}: not a .tflite file")
    try:
        model = _schema().ModelT.InitFromPackedBuf(data, 0)
    except Exception as error:  # the generated reader raises whatever the damage leads to
        raise DataError(f"{where}: damaged .tflite file ({type(error).__name__}: {error})") from error
    for buffer in model.buffers:
        _bring_in(buffer, data, where)
    return model


def pack_model(model: Any) -> bytes:
    """The file's bytes, constants aligned to 16 bytes as the schema asks, equal shapes and scales stored once."""
    builder = _sharing_builder()
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


def tensor_name(model: Any, index: int) -> str:
    """The name of a tensor of the main graph."""
    return model.subgraphs[0].tensors[index].name.decode()


def produced_by(model: Any) -> dict[str, int]:
    """The tensors that ops of the main graph write: index by name."""
    indices = [int(index) for op in model.subgraphs[0].operators for index in op.outputs]
    return {tensor_name(model, index): index for index in indices}


def producer_of(model: Any, index: int) -> tuple[Any, str]:
    """The op of the main graph that writes a tensor and its name, (None, "") for inputs and constants."""
    for op in model.subgraphs[0].operators:
        if index in op.outputs:
            return op, _op_name(model, op).upper()
    return None, ""


def quantization_of(model: Any, name: str) -> tuple[float, int]:
    """Scale and zero point of an activation; (1, 0) for one that is not quantized."""
    quantization = model.subgraphs[0].tensors[produced_by(model)[name]].quantization
    if quantization is None or quantization.scale is None:
        return 1.0, 0
    return float(quantization.scale[0]), int(quantization.zeroPoint[0])


def constant(model: Any, index: int, dtype: type[np.generic]) -> tuple[np.ndarray, np.ndarray]:
    """A constant's values, and the scales of its channels."""
    tensor = model.subgraphs[0].tensors[index]
    values = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(dtype)
    return values.reshape(tensor.shape), np.asarray(tensor.quantization.scale)


def float_constant(model: Any, index: int) -> np.ndarray:
    """A float32 constant's values."""
    tensor = model.subgraphs[0].tensors[index]
    return np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.float32).reshape(tensor.shape)


def own_constant(model: Any, index: int, values: np.ndarray) -> int:
    """Another constant like the one at ``index``, holding ``values``; gives its index."""
    graph, schema = model.subgraphs[0], _schema()
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor = copy.copy(graph.tensors[index])
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_half_constant(model: Any, index: int, values: np.ndarray) -> int:
    """A float16 constant of the shape of the one at ``index``; gives its index."""
    half = own_constant(model, index, values)
    tensor = model.subgraphs[0].tensors[half]
    tensor.type, tensor.name = FLOAT16, tensor.name + b"_half"
    return half


def drop_unused(model: Any) -> None:
    """Take out the tensors and buffers that nothing in the main graph refers to."""
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
    """Buffer 0 is the empty one, by the schema."""
    holders = [*model.subgraphs[0].tensors, *(model.metadata or [])]
    kept = [0, *sorted({holder.buffer for holder in holders} - {0})]
    index = {old: new for new, old in enumerate(kept)}
    model.buffers = [model.buffers[i] for i in kept]
    for holder in holders:
        holder.buffer = index[holder.buffer]


def add_tensor(model: Any, like: int, name: str, kind: int, zero_point: int) -> int:
    """Another tensor of the shape and scale of ``like``, of scale 1 where that is float; gives its index."""
    graph, schema = model.subgraphs[0], _schema()
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
    """Put an op without options, of one input and one output, at ``position`` of the order of execution."""
    schema = _schema()
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = _op_code(model, builtin, version), [source], [result]
    model.subgraphs[0].operators.insert(position, op)


def show_as_float(model: Any, name: str) -> None:
    """Make ``name`` the float32 form of a quantized tensor of that name; float tensors stay as they are."""
    graph, index = model.subgraphs[0], produced_by(model).get(name)
    if index is None or graph.tensors[index].type == FLOAT32:
        return
    graph.tensors[index].name = f"{name}_quantized".encode()
    shown = add_tensor(model, index, name, FLOAT32, 0)
    graph.tensors[shown].quantization = None
    add_op(model, len(graph.operators), DEQUANTIZE, DEQUANTIZE_VERSION, index, shown)


def start_at(model: Any, name: str, where: str) -> None:
    """Make ``name`` the graph's float32 input, and leave out every op that its outputs then do not need.

    Other inputs stay where something still reads them. A quantized tensor is filled from a float one put before it.
    Raises DataError where no op writes such a tensor.
    """
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    index = produced_by(model).get(name)
    if index is None:
        raise DataError(f"{where}: the graph has no tensor called {name}")
    graph.operators = [op for op in graph.operators if index not in op.outputs]
    entry = index
    if graph.tensors[index].type != FLOAT32:
        entry = add_tensor(model, index, name, FLOAT32, 0)
        graph.tensors[entry].quantization = None
        graph.tensors[index].name = f"{name}_quantized".encode()
        add_op(model, 0, QUANTIZE, QUANTIZE_VERSION, entry, index)
    needed = _keep_needed(graph)
    signature.inputs = [_tensor_map(name, entry), *(port for port in signature.inputs if port.tensorIndex in needed)]
    graph.inputs = [port.tensorIndex for port in signature.inputs]


def _keep_needed(graph: Any) -> set[int]:
    """Drop the ops that no output depends on; gives the tensors that are left in use."""
    needed = {int(index) for index in graph.outputs}
    kept = []
    for op in reversed(graph.operators):
        if needed.intersection(int(index) for index in op.outputs):
            kept.append(op)
            needed.update(int(index) for index in op.inputs)
    graph.operators = kept[::-1]
    return needed


def _op_code(model: Any, builtin: int, version: int) -> int:
    for i, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
            code.version = max(code.version, version)
            return i
    code = _schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _op_name(model: Any, op: Any) -> str:
    code = model.operatorCodes[op.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _builtin_names().get(number, f"op{number}").lower()


@cache
def _builtin_names() -> dict[int, str]:
    return {value: name for name, value in vars(_schema().BuiltinOperator).items() if isinstance(value, int)}


def _bring_in(buffer: Any, data: bytes, where: str) -> None:
    """A buffer may lie behind the flatbuffer in the same file: here every one is inside."""
    if buffer.offset <= 1:
        return
    if buffer.offset + buffer.size > len(data):
        raise DataError(f"{where}: cut short, a buffer ends beyond the file")
    buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
    buffer.offset = buffer.size = 0


def _tensor_map(name: str, tensor: int) -> Any:
    entry = _schema().TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry


def _sharing_builder() -> Any:
    """A builder that refers to a vector it has written before instead of writing it again."""
    import flatbuffers

    class SharingBuilder(flatbuffers.Builder):
        def __init__(self) -> None:
            super().__init__(1 << 20)
            self._written: dict[tuple[str, bytes], Any] = {}

        def CreateNumpyVector(self, x: np.ndarray) -> Any:
            key = (x.dtype.str, x.tobytes())
            if key not in self._written:
                self._written[key] = super().CreateNumpyVector(x)
            return self._written[key]

    return SharingBuilder()


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
