"""Memory of the activations as a device's compiler or interpreter lays them out, estimated from the graph."""

from __future__ import annotations

from elir_edge.formats.graphs import Graph, Op
from elir_edge.npu.compiler import KIB
from elir_edge.npu.device import KnownDevice

STRIPING, STRIPES, STRIPE_BUFFERS = "vela", 4 / 3, 64 * KIB
INTERPRETER, OP_BYTES, CHANNEL_BYTES = "micro", 224, 8
SUMS = 4  # bytes of a sum for each byte of an integer: int32 for int8, int64 for int16


def whole_bytes(graph: Graph, device: KnownDevice, precision: str) -> int:
    """Arena in bytes that holds whole activations.

    tflite-micro's arena has two things more: the sums of a transposed convolution of integers, and the interpreter's
    records of each operator and of each channel of a quantized kernel, whose sizes were measured on a 64-bit machine.
    """
    if device.shared.compiler != INTERPRETER:
        return graph.arena_bytes()
    sums = [_sum_bytes(graph, op, precision) for op in graph.ops]
    kernels = [op for op in graph.ops if "CONV" in op.name and op.shapes and _is_integer(op, precision)]
    channels = sum(op.shapes[-1][-1] for op in kernels)
    return graph.arena_bytes(sums) + OP_BYTES * len(graph.ops) + CHANNEL_BYTES * channels


def striped_bytes(graph: Graph, device: KnownDevice) -> float | None:
    """Arena in bytes with Vela's cascades: 4/3 of the tensors that more than the next op reads, and 64 KiB.

    Both figures were measured on this project's graphs. None if the compiler does not work in stripes.
    """
    if device.shared.compiler != STRIPING:
        return None
    return min(graph.held_bytes() * STRIPES + STRIPE_BUFFERS, graph.arena_bytes())


def _sum_bytes(graph: Graph, op: Op, precision: str) -> int:
    if op.name != "TRANSPOSE_CONV" or not _is_integer(op, precision):
        return 0
    return SUMS * sum(graph.bytes[name] for name in op.outputs)


def _is_integer(op: Op, precision: str) -> bool:
    return precision == "int8" or "float32" not in op.types
