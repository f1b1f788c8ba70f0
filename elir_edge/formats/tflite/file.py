"""Reading and writing .tflite files as the schema's object tree."""

from __future__ import annotations

import importlib
import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.split import PARTS
from elir_edge.errors import DataError, missing_package

FILE_IDENTIFIER = b"TFL3"
COPY_AGAIN = "it is damaged, or made for another version: copy it again, or export it again"
SCHEMAS = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")


def read_model(data: bytes, where: str) -> Any:
    """The object tree (``ModelT`` of the schema) of a .tflite file's bytes.

    Raises DataError, with ``where`` in its text, for any other bytes.
    """
    _look_over(data, where)
    with _damage_as_error(where):
        tree = load_schema().ModelT.InitFromPackedBuf(data, 0)
    for buffer in tree.buffers:
        _bring_in(buffer, data)
    return tree


def read_file(path: Path) -> Any:
    """``read_model`` of the file at ``path``."""
    return read_model(path.read_bytes(), str(path))


def read_metadata(path: Path, key: str) -> str | None:
    """The text of the metadata buffer ``key`` of the file at ``path``; None where there is none.

    It looks the file over without making its object tree, which takes a tenth of the time of ``read_file``. Raises
    DataError where it is no .tflite file, refers to parts that it does not have, or is cut short.
    """
    data = path.read_bytes()
    model = _look_over(data, str(path))
    with _damage_as_error(str(path)):
        return _metadata_in(model, key.encode(), data)


def _look_over(data: bytes, where: str) -> Any:
    """The schema's ``Model``, which reads from ``data`` what it is asked. Raises DataError for damaged bytes."""
    if data[4:8] != FILE_IDENTIFIER:
        raise DataError(f"{where}: not a .tflite file", hint=COPY_AGAIN)
    schema = load_schema()
    with _damage_as_error(where):
        model = schema.Model.GetRootAs(data, 0)
        is_sound = _refers_to_own_parts(model)
        buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
        end = max((buffer.Offset() + buffer.Size() for buffer in buffers if buffer.Offset() > 1), default=0)
    if not is_sound:
        raise _damage_error(where, "it refers to parts that it does not have")
    if end > len(data):
        raise DataError(f"{where}: cut short, a buffer ends beyond the file", hint=COPY_AGAIN)
    return model


@contextmanager
def _damage_as_error(where: str) -> Iterator[None]:
    """Raise DataError for whatever the generated reader raises in this block: it depends on the damage."""
    try:
        yield
    except Exception as error:
        raise _damage_error(where, f"{type(error).__name__}: {error}") from error


def _refers_to_own_parts(model: Any) -> bool:
    """Whether the file has its tables, and each index into buffers and operator codes is one of theirs.

    ``model`` is the schema's ``Model``, which reads from the file's bytes what it is asked.
    """
    buffers, codes = model.BuffersLength(), model.OperatorCodesLength()
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    used = [model.Metadata(i).Buffer() for i in range(model.MetadataLength())]
    used += [graph.Tensors(i).Buffer() for graph in graphs for i in range(graph.TensorsLength())]
    called = [graph.Operators(i).OpcodeIndex() for graph in graphs for i in range(graph.OperatorsLength())]
    return bool(buffers and graphs and codes) and _are_below(used, buffers) and _are_below(called, codes)


def _metadata_in(model: Any, key: bytes, data: bytes) -> str | None:
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == key:
            buffer = model.Buffers(entry.Buffer())
            if buffer.Offset() > 1:  # it lies behind the flatbuffer
                text = data[buffer.Offset() : buffer.Offset() + buffer.Size()]
            else:
                text = buffer.DataAsNumpy().tobytes() if buffer.DataLength() else b""
            return text.decode(errors="replace") if text else None
    return None


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


def load_schema() -> Any:
    """The generated module of the schema. Raises UnavailableError where no installed package has it."""
    for name in SCHEMAS:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise missing_package("ai-edge-litert", "run-litert")


def _damage_error(where: str, reason: str) -> DataError:
    return DataError(f"{where}: damaged .tflite file ({reason})", hint=COPY_AGAIN)


def _are_below(indices: Iterable[int], count: int) -> bool:
    return all(0 <= index < count for index in indices)


def _bring_in(buffer: Any, data: bytes) -> None:
    """Copy a buffer that lies behind the flatbuffer in the same file into the object tree."""
    if buffer.offset > 1:
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
    aligned = _aligned_buffer_class()()
    aligned.data = buffer.data
    return aligned


@cache
def _aligned_buffer_class() -> Any:
    schema = load_schema()

    class AlignedBuffer(schema.BufferT):  # type: ignore[name-defined]
        def Pack(self, builder: Any) -> Any:
            data = None if self.data is None else np.asarray(self.data, np.uint8)
            vector = _write_aligned(builder, data) if data is not None and data.size else None
            schema.BufferStart(builder)
            if vector is not None:
                schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    return AlignedBuffer


def _write_aligned(builder: Any, data: np.ndarray) -> Any:
    builder.StartVector(1, data.size, 16)
    builder.head = builder.head - data.size
    builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
    return builder.EndVector()
