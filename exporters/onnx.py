"""ONNX, opset 21, one file, from torch's dynamo exporter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.artifacts.signature import RESTORED
from elir_edge.core.native import captured_output
from elir_edge.errors import ElirEdgeError, missing_package
from elir_edge.pipeline.target import INTEGER_PRECISIONS, Conversion, Target, finer_form_left
from elir_edge.quantize.levels import LEVELS_WITHOUT_VNNI, W8A16, grid_of

if TYPE_CHECKING:
    from onnx import ModelProto

    from elir_edge.lowering.static import StaticRestorer

OPSET = 21


def convert(graph: StaticRestorer, conversion: Conversion) -> dict[str, Any]:
    """Write ``stem.onnx``. GroupNormalization stays one op. fp16: half-precision weights, fp32 arithmetic."""
    try:
        import onnx
        import onnxscript  # noqa: F401
        import onnxsim
    except ImportError as error:
        raise missing_package(error.name or "onnx", "onnx") from error

    graph = conversion.with_float_ends(graph)
    with conversion.progress.stage("converting to ONNX"), captured_output():
        model = _export(graph)
    with conversion.progress.stage("simplifying and checking the ONNX graph"), captured_output():
        model, same = onnxsim.simplify(model)
        if not same:
            raise ElirEdgeError(
                "the simplified ONNX graph does not compute what the converted one does",
                hint="report it with the model's specification; --target openvino does not simplify",
            )
        _tidy(model, graph.output_names())
        onnx.checker.check_model(model, full_check=True)
    model = _at_precision(model, graph, conversion)
    path = conversion.folder / f"{conversion.stem}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return {"opset": model.opset_import[0].version, "ir_version": model.ir_version} | conversion.form_facts()


def embed(path: Path, text: str) -> None:
    """Write the manifest into the model's metadata_props."""
    import onnx

    model = onnx.load_model(path, load_external_data=False)
    onnx.helper.set_model_props(model, {MANIFEST_KEY: text})
    path.write_bytes(model.SerializeToString(deterministic=True))


def _export(graph: StaticRestorer) -> ModelProto:
    import torch

    from elir_edge.lowering.trace import trace

    names = [tensor.name for tensor in graph.inputs()]
    program = torch.onnx.export(
        trace(graph), (), input_names=names, dynamo=True, opset_version=OPSET, external_data=False, verbose=False
    )
    return program.model_proto  # type: ignore[union-attr]


def _at_precision(model: ModelProto, graph: StaticRestorer, conversion: Conversion) -> ModelProto:
    if conversion.precision == "fp16":
        from elir_edge.quantize.half import halve_weights

        halve_weights(model)
    if conversion.precision in INTEGER_PRECISIONS:
        from elir_edge.quantize.ort_static import quantize_onnx

        float_ops, sums = _float_parts(model, graph, conversion)
        grid = grid_of(conversion.precision)
        with captured_output():
            return quantize_onnx(
                model, conversion.calibration, conversion.progress, float_ops, sums, grid, conversion.fine
            )
    return model


def _float_parts(
    model: ModelProto, graph: StaticRestorer, conversion: Conversion
) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the nodes that stay float, and of the tensors whose sums do.

    None with 16-bit activations: rounding them costs nothing, and an NPU computes the rest faster than float.
    """
    if conversion.precision == W8A16:
        return frozenset(), frozenset()
    from elir_edge.formats.onnx.graph import largest_sums, nodes_by_stage, nodes_with_kernels
    from elir_edge.quantize.moves import ends_of_autoencoder, stages_of_residual_sums, stages_that_move

    stages = graph.output_names()
    by_stage = nodes_by_stage(model, stages)
    sums = (largest_sums(model, by_stage[stage]) for stage in stages_of_residual_sums(graph))
    float_ops = conversion.float_names(by_stage, stages_that_move(graph))
    if conversion.fine:
        float_ops |= nodes_with_kernels(model, ends_of_autoencoder(graph))
    return float_ops, frozenset(stages).union(*sums) - {RESTORED}


def _tidy(model: ModelProto, stages: list[str]) -> None:
    """Name the stages, keep the last one as the only output, remove traces of this machine, all in place."""
    graph = model.graph
    outputs = [output.name for output in graph.output]
    _rename(model, dict(zip(outputs, stages, strict=True)))
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    keep = [output for output in graph.output if output.name == stages[-1]]
    del graph.output[:], graph.value_info[:], model.metadata_props[:], graph.metadata_props[:]
    graph.output.extend(keep)
    graph.name, model.producer_name, model.producer_version, model.doc_string = "elir", "elir-edge", "", ""


def _rename(model: ModelProto, names: dict[str, str]) -> None:
    """Rename tensors in place: those in ``names`` as stated there, weights as in the checkpoint."""
    graph = model.graph
    for initializer in graph.initializer:
        names[initializer.name] = initializer.name.removeprefix("static.")
        initializer.name = names[initializer.name]
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for output in graph.output:
        output.name = names[output.name]


TARGET = Target(
    name="onnx",
    description="ONNX, one file, opset 21",
    suffixes=(".onnx",),
    precisions=("fp32", "fp16", "int8", W8A16, "mixed"),
    layouts={"float": "NCHW", "uint8": "NHWC"},
    latent_layout="NCHW",
    norm="native",
    backends=("onnxruntime", "openvino"),
    packages=("torch", "onnx", "onnxscript", "onnxsim"),
    extra="onnx",
    convert=convert,
    embed=embed,
    quantizers=("onnxruntime",),
    kernel_levels=LEVELS_WITHOUT_VNNI,
    has_finer=finer_form_left,
)
