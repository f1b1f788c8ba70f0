"""Several .tflite models in one file: one signature for each, equal constants once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from elir_edge.formats.tflite.file import load_schema


def join(models: Mapping[str, Any]) -> Any:
    """One model with the main graph of each of ``models``, in their order, as the signature of its key.

    Inputs and outputs of a signature keep their names and take the order of the graph's. Metadata is the first model's.
    The graphs of ``models`` are changed and belong to the result.
    """
    joined, (first, *_) = load_schema().ModelT(), models.values()
    joined.version, joined.description = first.version, first.description
    joined.operatorCodes, joined.buffers = [], [load_schema().BufferT()]
    joined.subgraphs, joined.signatureDefs = [], []
    codes: dict[tuple[Any, ...], int] = {}
    buffers: dict[bytes, int] = {b"": 0}
    for key, model in models.items():
        graph = model.subgraphs[0]
        for op in graph.operators:
            op.opcodeIndex = _op_code(joined, codes, model.operatorCodes[op.opcodeIndex])
        for tensor in graph.tensors:
            tensor.buffer = _buffer(joined, buffers, model.buffers[tensor.buffer])
        graph.name = key.encode()
        joined.signatureDefs.append(_signature(model, key, len(joined.subgraphs)))
        joined.subgraphs.append(graph)
    joined.metadata = first.metadata
    for entry in joined.metadata or []:
        entry.buffer = _buffer(joined, buffers, first.buffers[entry.buffer])
    return joined


def _op_code(joined: Any, known: dict[tuple[Any, ...], int], code: Any) -> int:
    identity = (code.builtinCode, code.deprecatedBuiltinCode, code.customCode, code.version)
    if identity not in known:
        known[identity] = len(joined.operatorCodes)
        joined.operatorCodes.append(code)
    return known[identity]


def _buffer(joined: Any, known: dict[bytes, int], buffer: Any) -> int:
    """0, which the schema reserves as the empty one, for tensors without a constant."""
    data = b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
    if data not in known:
        known[data] = len(joined.buffers)
        joined.buffers.append(buffer)
    return known[data]


def _signature(model: Any, key: str, graph: int) -> Any:
    """Runtimes that count inputs count those of the graph."""
    signature, ports = model.signatureDefs[0], model.subgraphs[0]
    signature.signatureKey, signature.subgraphIndex = key.encode(), graph
    for entries, order in ((signature.inputs, ports.inputs), (signature.outputs, ports.outputs)):
        places = {int(tensor): place for place, tensor in enumerate(order)}
        entries.sort(key=lambda entry, places=places: places[int(entry.tensorIndex)])
    return signature
