"""Where the integer part of an int8 ONNX graph ends: the final clip, and tensors between float nodes."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto, NodeProto

from elir_edge.artifacts.signature import RESTORED
from elir_edge.formats.onnx.graph import convolutions, drop_unused, producers
from elir_edge.quantize.onnx_observe import QUANTIZED


def drop_clip(model: ModelProto, float_ops: frozenset[str], keeps_rounding: bool = False) -> None:
    """Remove the final clip and the rounding to bytes: the quantizer after the last convolution does both.

    Nothing is removed where the last convolution stays float. ``keeps_rounding``: that quantizer has steps of less than
    a byte, so the rounding stays.
    """
    *_, last = convolutions(model)
    if last.name in float_ops:
        return
    for node in _clips_after(model, last, ("Clip",) if keeps_rounding else ("Clip", "Round")):
        source, target = node.input[0], node.output[0]
        model.graph.node.remove(node)
        if target == RESTORED:
            producers(model)[source].output[0] = RESTORED
        for other in model.graph.node:
            other.input[:] = [source if name == target else name for name in other.input]
    drop_unused(model)


def float_activations(model: ModelProto) -> frozenset[str]:
    """Names of the nodes of each SiLU right after a normalization, which is float.

    One quantizer after the pair is more accurate than three around its parts.
    """
    made, names = producers(model), set()
    for node in model.graph.node:
        before = [made[name].op_type for name in node.input if name in made]
        if node.op_type in ("Sigmoid", "Mul") and "GroupNormalization" in before:
            names.add(node.name)
    return frozenset(names)


def pass_floats_on(model: ModelProto, excluded: frozenset[str]) -> None:
    """Let float nodes read the unrounded output of float nodes; ``excluded`` names those the quantizer left out."""
    made = producers(model)
    floats = {node.name for node in model.graph.node if node.name in excluded or node.op_type not in QUANTIZED}
    for node in model.graph.node:
        if node.name in floats and node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            node.input[:] = [_unquantized_source(name, made, floats) for name in node.input]


def _clips_after(model: ModelProto, last: NodeProto, kinds: tuple[str, ...]) -> list[NodeProto]:
    """Nodes of ``kinds`` between the last convolution and the output; those of stages inside are not among them."""
    made, found, name = producers(model), [], RESTORED
    while name in made and made[name] is not last:
        if made[name].op_type in kinds:
            found.append(made[name])
        name = made[name].input[0]
    return found[::-1]


def _unquantized_source(name: str, made: Mapping[str, NodeProto], floats: set[str]) -> str:
    """The input of the quantizer before ``name``, if a float node computes it or it is an input; else ``name``."""
    dequantize = made.get(name)
    quantize = made.get(dequantize.input[0]) if dequantize is not None else None
    if dequantize is None or dequantize.op_type != "DequantizeLinear" or quantize is None:
        return name
    source = made.get(quantize.input[0])
    return quantize.input[0] if source is None or source.name in floats else name
