"""Questions to the object tree of a .tflite file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np

from elir_edge.formats.tflite.file import load_schema
from elir_edge.formats.walk import upstream_by_stage

FLOAT32, FLOAT16, INT32, UINT8 = 0, 1, 2, 3
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
KERNEL_AXES = 4


def op_names(model: Any) -> list[str]:
    """Names of the ops of the main graph in order, as in the schema: ``CONV_2D``."""
    return names_of_ops(model, model.subgraphs[0])


def names_of_ops(model: Any, graph: Any) -> list[str]:
    """Names of the ops of ``graph`` in order, as in the schema."""
    return [op_name(model, op).upper() for op in graph.operators]


def op_name(model: Any, op: Any) -> str:
    """Name of an op as in the schema, in lower case; ``op`` and its number where the schema has none."""
    code = model.operatorCodes[op.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _builtin_names().get(number, f"op{number}").lower()


def tensor_types(graph: Any) -> list[str]:
    """Type of each tensor of ``graph``, as NumPy names it."""
    names = {value: name.lower() for name, value in vars(load_schema().TensorType).items() if isinstance(value, int)}
    return [names[tensor.type] for tensor in graph.tensors]


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


def outputs_of_kernels(model: Any, kernels: Iterable[np.ndarray]) -> frozenset[str]:
    """Names of what the convolutions write whose float kernels hold the values of one of ``kernels``, in any layout."""
    sought = [np.sort(kernel, axis=None) for kernel in kernels]
    found = set()
    for op in model.subgraphs[0].operators:
        if op_name(model, op).upper() in CONVOLUTIONS:
            values = next(float_kernels(model, op), None)
            if values is not None and any(np.array_equal(np.sort(values, axis=None), other) for other in sought):
                found.add(tensor_name(model, int(op.outputs[0])))
    return frozenset(found)


def quantization_of(model: Any, name: str) -> tuple[float, int]:
    """Scale and zero point of the activation ``name``; (1, 0) where it is not quantized."""
    quantization = model.subgraphs[0].tensors[activations(model)[name]].quantization
    if quantization is None or quantization.scale is None:
        return 1.0, 0
    return float(quantization.scale[0]), int(quantization.zeroPoint[0])


def constants_of(model: Any, graph: Any) -> set[int]:
    """Indices of the tensors of ``graph`` that no input changes: stored ones, and floats made from stored halves.

    fp16 models store weights as halves; runtimes unpack them once, not at each run.
    """
    found = {index for index, tensor in enumerate(graph.tensors) if holds_data(model.buffers[tensor.buffer])}
    for op in graph.operators:
        if op_name(model, op) == "dequantize" and found.issuperset(map(int, op.inputs)):
            found |= {int(index) for index in op.outputs}
    return found


def holds_data(buffer: Any) -> bool:
    """Whether a buffer of the file has bytes: tensors without are activations."""
    return buffer.data is not None and len(buffer.data) > 0


def constant(model: Any, index: int, dtype: type[np.generic]) -> tuple[np.ndarray, np.ndarray]:
    """Values of the constant ``index``, of type ``dtype``, and the scales of its channels."""
    tensor = model.subgraphs[0].tensors[index]
    values = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(dtype)
    return values.reshape(tensor.shape), np.asarray(tensor.quantization.scale)


def float_constant(model: Any, index: int) -> np.ndarray:
    """Values of the float32 constant ``index``."""
    tensor = model.subgraphs[0].tensors[index]
    return np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.float32).reshape(tensor.shape)


def largest_sums(model: Any, names: Collection[str]) -> frozenset[str]:
    """Those of the tensors ``names`` that an ADD computes from two activations, of the largest height."""
    made = activations(model)
    written, heights = set(made.values()), {}
    for name in names:
        op, kind = producer_of(model, made[name])
        if kind == "ADD" and written.issuperset(map(int, op.inputs)):
            heights[name] = int(model.subgraphs[0].tensors[made[name]].shape[1])
    return frozenset(name for name, height in heights.items() if height == max(heights.values()))


def float_kernels(model: Any, op: Any) -> Iterator[np.ndarray]:
    """The float constants of four axes that an op reads, if any."""
    for index in map(int, op.inputs):
        tensor = model.subgraphs[0].tensors[index]
        is_kernel = tensor.type == FLOAT32 and len(tensor.shape) == KERNEL_AXES
        if is_kernel and holds_data(model.buffers[tensor.buffer]):
            yield float_constant(model, index)


@cache
def _builtin_names() -> dict[int, str]:
    return {value: name for name, value in vars(load_schema().BuiltinOperator).items() if isinstance(value, int)}
