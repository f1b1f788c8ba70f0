"""The ends of a .tflite file's graph: which tensors go in and come out, and the ops between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elir_edge.errors import DataError
from elir_edge.formats.tflite.edit import (
    DEQUANTIZE,
    DEQUANTIZE_VERSION,
    QUANTIZE,
    QUANTIZE_VERSION,
    add_op,
    add_tensor,
)
from elir_edge.formats.tflite.file import load_schema
from elir_edge.formats.tflite.flatmodel import FLOAT32, activations, tensor_sources
from elir_edge.formats.walk import upstream


def set_outputs(model: Any, names: list[str], where: str) -> None:
    """Make the tensors called ``names`` the outputs of the main graph and of its signature.

    Raises DataError where the graph has no such tensor.
    """
    graph = model.subgraphs[0]
    index = {tensor.name.decode(): i for i, tensor in enumerate(graph.tensors)}
    missing = [name for name in names if name not in index]
    if missing:
        raise DataError(
            f"{where}: the graph has no tensor called {', '.join(missing)}",
            hint="elir-edge inspect names the stages inside; one exported by elir-edge has them",
        )
    graph.outputs = [index[name] for name in names]
    signature = model.signatureDefs[0]
    signature.outputs = [tensor_map(name, index[name]) for name in names]


@contextmanager
def outputs_of(model: Any, names: list[str], where: str) -> Iterator[None]:
    """As ``set_outputs``, in a block; after it the graph and its signature have their own outputs and ops again."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    own = graph.outputs, signature.outputs, graph.operators
    set_outputs(model, names, where)
    try:
        yield
    finally:
        graph.outputs, signature.outputs, graph.operators = own


def show_as_float(model: Any, name: str) -> None:
    """Add a dequantized copy of the quantized tensor ``name`` and give it that name; float tensors stay as they are."""
    graph, index = model.subgraphs[0], activations(model).get(name)
    if index is None or graph.tensors[index].type == FLOAT32:
        return
    graph.tensors[index].name = f"{name}_quantized".encode()
    shown = add_tensor(model, index, name, FLOAT32, 0)
    graph.tensors[shown].quantization = None
    add_op(model, len(graph.operators), DEQUANTIZE, DEQUANTIZE_VERSION, index, shown)


def start_at(model: Any, name: str, where: str) -> None:
    """Make ``name`` a float32 input of the main graph and remove the ops that no output depends on any more.

    Other inputs stay if an op still reads them. A quantized tensor is written by a QUANTIZE op behind the new input.
    Raises DataError where no op writes such a tensor.
    """
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    index = activations(model).get(name)
    if index is None:
        raise DataError(
            f"{where}: the graph has no tensor called {name}",
            hint="elir-edge inspect names the stages inside; one exported by elir-edge has them",
        )
    graph.operators = [op for op in graph.operators if index not in op.outputs]
    entry = index
    if graph.tensors[index].type != FLOAT32:
        entry = add_tensor(model, index, name, FLOAT32, 0)
        graph.tensors[entry].quantization = None
        graph.tensors[index].name = f"{name}_quantized".encode()
        add_op(model, 0, QUANTIZE, QUANTIZE_VERSION, entry, index)
    needed = keep_needed(graph)
    signature.inputs = [tensor_map(name, entry), *(port for port in signature.inputs if port.tensorIndex in needed)]
    graph.inputs = [port.tensorIndex for port in signature.inputs]


def keep_needed(graph: Any) -> set[int]:
    """Remove the ops that no output depends on; returns the tensors that the outputs depend on."""
    needed = upstream(map(int, graph.outputs), tensor_sources(graph))
    graph.operators = [op for op in graph.operators if needed.intersection(map(int, op.outputs))]
    return needed


def tensor_map(name: str, tensor: int) -> Any:
    """An entry of a signature: the tensor under a name."""
    entry = load_schema().TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
