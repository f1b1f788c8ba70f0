"""Reading and writing .tflite files: the schema's object tree, and questions to it."""

from __future__ import annotations

import importlib
import mmap
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.split import PARTS
from elir_edge.errors import DataError, missing_package
from elir_edge.formats.walk import upstream_by_stage

FILE_IDENTIFIER = b"TFL3"
COPY_AGAIN = "it is damaged, or made for another version: copy it again, or export it again"
FLOAT32, FLOAT16, INT32, UINT8 = 0, 1, 2, 3
SCHEMAS = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")


def read_model(data: bytes, where: str) -> Any:
    """The object tree (``ModelT`` of the schema) of a .tflite file's bytes.

    Raises DataError, with ``where`` in its text, for any other bytes.
    """
    if data[4:8] != FILE_IDENTIFIER:
        raise DataError(f"{where}: not a .tflite file", hint=COPY_AGAIN)
    try:
        model = load_schema().ModelT.InitFromPackedBuf(data, 0)
    except Exception as error:  # the generated reader raises whatever the damage leads to
        raise DataError(
            f"{where}: damaged .tflite file ({type(error).__name__}: {error})",
            hint=COPY_AGAIN,
        ) from error
    if not _is_consistent(model):
        raise DataError(f"{where}: damaged .tflite file (it refers to parts that it does not have)", hint=COPY_AGAIN)
    for buffer in model.buffers:
        _bring_in(buffer, data, where)
    return model


def _is_consistent(model: Any) -> bool:
    """Whether the file has its tables, and each index into buffers and operator codes is one of theirs."""
    if not model.buffers or not model.subgraphs or model.operatorCodes is None:
        return False
    graphs = model.subgraphs
    buffers = [entry.buffer for entry in model.metadata or []]
    buffers += [tensor.buffer for graph in graphs for tensor in graph.tensors or []]
    codes = [op.opcodeIndex for graph in graphs for op in graph.operators or []]
    return _are_below(buffers, len(model.buffers)) and _are_below(codes, len(model.operatorCodes))


def _are_below(indices: Iterable[int], count: int) -> bool:
    return all(0 <= index < count for index in indices)


def read_file(path: Path) -> Any:
    """``read_model`` of the file at ``path``."""
    return read_model(path.read_bytes(), str(path))


def is_split_file(path: Path) -> bool:
    """Whether the file at ``path`` is a .tflite with the signatures of a split artifact. Damaged files are not."""
    if path.suffix != ".tflite" or not path.is_file():
        return False
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            model = load_schema().Model.GetRootAs(data)
            keys = [model.SignatureDefs(i).SignatureKey() for i in range(model.SignatureDefsLength())]
    except Exception:  # the generated reader raises whatever the damage leads to; whoever opens the file says so
        return False
    return keys == [name.encode() for name in PARTS]


def pack_model(model: Any) -> bytes:
    """The bytes of a .tflite file: constants aligned to 16 bytes, as the schema asks, and equal vectors stored once."""
    builder = _sharing_builder()
    model.buffers = [_align_buffer(buffer) for buffer in model.buffers]
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def get_metadata(model: Any, key: str) -> str | None:
    """The text of the metadata buffer ``key``; None where there is none."""
    for entry in model.metadata or []:
        if entry.name == key.encode():
            data = model.buffers[entry.buffer].data
            return None if data is None else bytes(data).decode(errors="replace")
    return None


def op_names(model: Any) -> list[str]:
    """Names of the ops of the main graph in order, as in the schema: ``CONV_2D``."""
    return [op_name(model, op).upper() for op in model.subgraphs[0].operators]


def op_name(model: Any, op: Any) -> str:
    """Name of an op as in the schema, in lower case; ``op`` and its number where the schema has none."""
    code = model.operatorCodes[op.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _builtin_names().get(number, f"op{number}").lower()


def tensor_types(model: Any) -> list[str]:
    """Type of each tensor of the main graph, as NumPy names it."""
    names = {value: name.lower() for name, value in vars(load_schema().TensorType).items() if isinstance(value, int)}
    return [names[tensor.type] for tensor in model.subgraphs[0].tensors]


def custom_codes(model: Any) -> list[str | None]:
    """Custom code of each op of the main graph in order; None for built-in ops."""
    codes = [model.operatorCodes[op.opcodeIndex].customCode for op in model.subgraphs[0].operators]
    return [code.decode(errors="replace") if code else None for code in codes]


def tensor_name(model: Any, index: int) -> str:
    """Name of the tensor ``index`` of the main graph."""
    return model.subgraphs[0].tensors[index].name.decode()


def activations(model: Any) -> dict[str, int]:
    """Index of each tensor that an op of the main graph writes, by name."""
    indices = [int(index) for op in model.subgraphs[0].operators for index in op.outputs]
    return {tensor_name(model, index): index for index in indices}


def producer_of(model: Any, index: int) -> tuple[Any, str]:
    """The op of the main graph that writes a tensor, and the op's name; (None, "") for inputs and constants."""
    for op in model.subgraphs[0].operators:
        if index in op.outputs:
            return op, op_name(model, op).upper()
    return None, ""


def tensor_sources(graph: Any) -> Callable[[int], list[int]]:
    """For ``formats.walk``: a function from a tensor to those that its op reads; none for inputs and constants."""
    sources = {int(index): [int(i) for i in op.inputs] for op in graph.operators for index in op.outputs}
    return lambda index: sources.get(index, [])


def tensors_by_stage(model: Any, stages: Iterable[str]) -> dict[str, set[str]]:
    """Names of the activations that each of ``stages`` depends on and none before it.

    ``stages`` are names of tensors, in the order of execution.
    """
    index = activations(model)
    written = set(index.values())
    found = upstream_by_stage({stage: index[stage] for stage in stages}, tensor_sources(model.subgraphs[0]))
    return {stage: {tensor_name(model, i) for i in tensors & written} for stage, tensors in found.items()}


def quantization_of(model: Any, name: str) -> tuple[float, int]:
    """Scale and zero point of the activation ``name``; (1, 0) where it is not quantized."""
    quantization = model.subgraphs[0].tensors[activations(model)[name]].quantization
    if quantization is None or quantization.scale is None:
        return 1.0, 0
    return float(quantization.scale[0]), int(quantization.zeroPoint[0])


def constant(model: Any, index: int, dtype: type[np.generic]) -> tuple[np.ndarray, np.ndarray]:
    """Values of the constant ``index``, of type ``dtype``, and the scales of its channels."""
    tensor = model.subgraphs[0].tensors[index]
    values = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(dtype)
    return values.reshape(tensor.shape), np.asarray(tensor.quantization.scale)


def float_constant(model: Any, index: int) -> np.ndarray:
    """Values of the float32 constant ``index``."""
    tensor = model.subgraphs[0].tensors[index]
    return np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.float32).reshape(tensor.shape)


def load_schema() -> Any:
    """The generated module of the schema. Raises UnavailableError where no installed package has it."""
    for name in SCHEMAS:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise missing_package("ai-edge-litert", "run-litert")


@cache
def _builtin_names() -> dict[int, str]:
    return {value: name for name, value in vars(load_schema().BuiltinOperator).items() if isinstance(value, int)}


def _bring_in(buffer: Any, data: bytes, where: str) -> None:
    """Copy a buffer that lies behind the flatbuffer in the same file into the object tree."""
    if buffer.offset <= 1:
        return
    if buffer.offset + buffer.size > len(data):
        raise DataError(
            f"{where}: cut short, a buffer ends beyond the file",
            hint=COPY_AGAIN,
        )
    buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
    buffer.offset = buffer.size = 0


def _sharing_builder() -> Any:
    """A flatbuffer builder that writes equal vectors once."""
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


def _align_buffer(buffer: Any) -> Any:
    class AlignedBuffer(type(buffer)):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:
            schema = load_schema()
            data = None if self.data is None else np.asarray(self.data, np.uint8)
            vector = _write_aligned(builder, data) if data is not None and data.size else None
            schema.BufferStart(builder)
            if vector is not None:
                schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    aligned = AlignedBuffer()
    aligned.data = buffer.data
    return aligned


def _write_aligned(builder: Any, data: np.ndarray) -> Any:
    builder.StartVector(1, data.size, 16)
    builder.head = builder.head - data.size
    builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
    return builder.EndVector()
