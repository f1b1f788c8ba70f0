"""ExecuTorch (.pte): the graph delegated to XNNPACK, with two methods over it, ``forward`` and ``stages``."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.core.native import captured_output
from elir_edge.errors import missing_package
from elir_edge.formats.names import FORWARD, STAGES
from elir_edge.pipeline.target import Conversion, Target

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

    from elir_edge.lowering.static import StaticRestorer

DELEGATE_CALL = "executorch_call_delegate"
TRACES = ("from_node", "stack_trace", "nn_module_stack", "source_fn_stack")
ALIGNMENT = 16


def convert(graph: StaticRestorer, conversion: Conversion) -> dict[str, Any]:
    """Write ``stem.pte``. The method ``forward`` returns the restored image, ``stages`` all stages and the image.

    Tensors inside a delegate cannot be read from outside: the delegate returns the stages in both methods, and
    ``forward`` passes only the image on.
    """
    with conversion.progress.stage("converting to ExecuTorch"), captured_output():
        program, facts = _lower(graph, conversion)
    path = conversion.folder / f"{conversion.stem}.pte"
    path.write_bytes(program)
    _add_forward(path)
    return {"methods": [FORWARD, STAGES], "delegate": "XNNPACK", **facts}


def embed(path: Path, text: str) -> None:
    """Write the manifest into the program's named data, which the C++ runtime can read."""
    from executorch.exir._serialize._named_data_store import NamedDataStore

    with _edit_program(path) as file:
        store = NamedDataStore()
        if file.named_data is not None:
            for name, entry in file.named_data.pte_data.items():
                if name != MANIFEST_KEY:
                    store.add_named_data(name, file.named_data.buffers[entry.buffer_index], entry.alignment)
        store.add_named_data(MANIFEST_KEY, text.encode(), ALIGNMENT)
        file.named_data = store.get_named_data_store_output()


def _lower(graph: StaticRestorer, conversion: Conversion) -> tuple[bytes, dict[str, Any]]:
    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    except ImportError as error:
        raise missing_package("executorch", "executorch") from error
    from elir_edge.lowering.trace import trace

    upsample_by_convolution(graph)
    program = trace(graph)
    if conversion.precision == "int8":
        from elir_edge.quantize.xnnpack_pt2e import quantize_program

        program = quantize_program(program, conversion.calibration, conversion.progress)
    manager = to_edge_transform_and_lower({STAGES: _tidy(program)}, partitioner=[XnnpackPartitioner()])
    facts = _delegation(manager.exported_program(STAGES).graph_module)
    return manager.to_executorch().buffer, facts


def upsample_by_convolution(graph: StaticRestorer) -> None:
    """Replace nearest-neighbour upsampling by whole factors by depthwise transposed convolutions of ones, in place.

    XNNPACK has no nearest-neighbour resize. Without it the whole graph is one delegate, and a device needs XNNPACK's
    kernels only. Guarantees the same function.
    """
    import torch
    from torch import nn

    for name, channels in _upsampling_channels(graph).items():
        factor = _copies(cast(nn.Upsample, graph.get_submodule(name)))
        if factor is None:
            continue
        copier = nn.ConvTranspose2d(channels, channels, factor, factor, groups=channels, bias=False)
        copier.weight = nn.Parameter(torch.ones_like(copier.weight), requires_grad=False)
        graph.set_submodule(name, copier)


def _upsampling_channels(graph: StaticRestorer) -> dict[str, int]:
    """Number of channels of each upsampling by its path in the graph, of those that have the same one in each call."""
    import torch
    from torch import nn

    found: dict[str, set[int]] = defaultdict(set)
    hooks = [
        module.register_forward_pre_hook(lambda _, given, name=name: found[name].add(given[0].shape[1]))
        for name, module in graph.named_modules()
        if isinstance(module, nn.Upsample)
    ]
    with torch.no_grad():
        graph(*graph.example_inputs())
    for hook in hooks:
        hook.remove()
    return {name: channels.pop() for name, channels in found.items() if len(channels) == 1}


def _copies(upsampling: nn.Upsample) -> tuple[int, int] | None:
    """How often each pixel is repeated, down and across; None where the output is not a repetition of pixels."""
    factor = upsampling.scale_factor
    if upsampling.mode != "nearest" or factor is None:
        return None
    rows, columns = factor if isinstance(factor, tuple) else (factor, factor)
    return (int(rows), int(columns)) if float(rows).is_integer() and float(columns).is_integer() else None


def _add_forward(path: Path) -> None:
    """Add a method with the instructions of ``stages`` that returns the last result only."""
    with _edit_program(path) as file:
        (stages,) = file.program.execution_plan
        forward = copy.deepcopy(stages)
        forward.name, forward.outputs = FORWARD, stages.outputs[-1:]
        file.program.execution_plan = [forward, stages]


@contextmanager
def _edit_program(path: Path) -> Iterator[Any]:
    """The program at ``path`` as an object; changes are written back at the end."""
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary

    file = deserialize_pte_binary(path.read_bytes())
    yield file
    path.write_bytes(bytes(serialize_pte_binary(file, extract_delegate_segments=True)))


def _tidy(program: ExportedProgram) -> ExportedProgram:
    """Remove concatenations of one tensor, which XNNPACK does not take, and references to the traced source code."""
    import torch

    for node in list(program.graph.nodes):
        for key in TRACES:
            node.meta.pop(key, None)
        if node.target is torch.ops.aten.cat.default and len(node.args[0]) == 1:
            node.replace_all_uses_with(node.args[0][0])
            program.graph.erase_node(node)
    program.graph_module.recompile()
    return program


def _delegation(module: GraphModule) -> dict[str, Any]:
    """Number of ops that XNNPACK runs, number of delegates, and the ops left to ExecuTorch's kernels."""
    parts = [part for node in module.graph.nodes if (part := _part(module, node)) is not None]
    left = Counter(_op_name(node) for node in _calls(module) if _part(module, node) is None)
    delegated = sum(1 for part in parts for node in _calls(part))
    return {"delegated_ops": delegated, "delegated_parts": len(parts), "other_ops": dict(sorted(left.items()))}


def _calls(module: GraphModule) -> Iterator[Node]:
    return (node for node in module.graph.nodes if node.op == "call_function" and "getitem" not in str(node.target))


def _part(module: GraphModule, node: Node) -> GraphModule | None:
    """The graph of the delegate that ``node`` calls; None where it calls no delegate."""
    if node.op != "call_function" or str(node.target) != DELEGATE_CALL:
        return None
    return getattr(module, str(node.args[0])).original_module.graph_module


def _op_name(node: Node) -> str:
    return str(getattr(node.target, "_name", node.target))


TARGET = Target(
    name="executorch",
    description="ExecuTorch .pte, delegated to XNNPACK",
    suffixes=(".pte",),
    precisions=("fp32", "int8"),
    layouts={"float": "NCHW", "uint8": "NHWC"},
    latent_layout="NCHW",
    norm="pointwise",
    backends=("executorch",),
    packages=("torch", "executorch"),
    quantizers=("torchao",),
    extra="executorch",
    convert=convert,
    embed=embed,
)
