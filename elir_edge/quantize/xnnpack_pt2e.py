"""int8 for ExecuTorch: convolutions, quantized by XNNPACK's quantizer in PyTorch's PT2E flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elir_edge.errors import UsageError
from elir_edge.lowering.norm import PointwiseGroupNorm
from elir_edge.quantize.preparation import Feeds, as_tensors
from elir_edge.quantize.xnnpack_bias import correct_biases, is_convolution

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule, Node

    from elir_edge.core.progress import Progress


def quantize_program(program: ExportedProgram, feeds: Feeds, progress: Progress) -> ExportedProgram:
    """The program with int8 convolutions, weights with a scale per channel; all other operators stay float.

    ``feeds`` are the graph's inputs for each calibration sample. Raises UsageError where there are none.
    """
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    if not feeds:
        raise UsageError("int8 needs calibration pictures", hint="export through elir_edge.export, which gathers them")
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    quantizer.set_module_type(PointwiseGroupNorm, None).set_filter_function(_is_quantized)
    module: Any = prepare_pt2e(_unshare_weights(program.module()), quantizer)
    with torch.no_grad(), progress.stage("measuring ranges", len(feeds)) as advance:
        for feed in feeds:
            module(*as_tensors(feed))
            advance(1)
        module = _unshare_dequantization(convert_pt2e(module))
    correct_biases(module, program.module(), feeds, progress)
    with torch.no_grad():
        return torch.export.export(module, as_tensors(feeds[0]))


def _is_quantized(node: Node) -> bool:
    return node.op != "call_function" or is_convolution(node) or str(node.target).startswith("aten.relu")


def _unshare_weights(module: GraphModule) -> GraphModule:
    """Give each use of a weight a node of its own, in place: otherwise only the first of several steps is quantized."""
    for node in [node for node in module.graph.nodes if node.op == "get_attr"]:
        _split(module, node)
    module.recompile()
    return module


def _unshare_dequantization(module: GraphModule) -> GraphModule:
    """Give each use of a dequantized tensor a node of its own, in place, and copy those that are outputs.

    If XNNPACK's lowering changes the layout behind a dequantization, it changes it for all users.
    """
    import torch

    (output,) = [node for node in module.graph.nodes if node.op == "output"]
    for node in [node for node in module.graph.nodes if "dequantize_per_tensor" in str(node.target)]:
        if output in node.users:
            with module.graph.inserting_before(output):
                output.replace_input_with(node, module.graph.call_function(torch.ops.aten.mul.Tensor, (node, 1.0)))
        _split(module, node)
    module.recompile()
    return module


def _split(module: GraphModule, node: Node) -> None:
    for user in list(node.users)[1:]:
        with module.graph.inserting_before(user):
            user.replace_input_with(node, module.graph.node_copy(node))
