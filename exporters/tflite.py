"""TFLite (LiteRT), NHWC, all tensors at most 4-D, through litert-torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.artifacts.split import PARTS
from elir_edge.core.native import captured_output
from elir_edge.errors import missing_package
from elir_edge.families.base import RESTORED, Space, output_stages
from elir_edge.formats.tflite.edit import rename_tensors, set_metadata
from elir_edge.formats.tflite.ends import set_outputs
from elir_edge.formats.tflite.file import pack_model, read_file
from elir_edge.formats.tflite.flatmodel import largest_sums, outputs_of_kernels, tensor_types, tensors_by_stage
from elir_edge.formats.tflite.one_file import join_split
from elir_edge.pipeline.target import FLOAT_PARTS, INTEGER_PRECISIONS, Conversion, Target

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer

SIGNATURE = "restore"
SUM_BITS, WIDE_BITS, FLOAT_BITS = 8, 16, 32


def convert(graph: StaticRestorer, conversion: Conversion) -> dict[str, Any]:
    """Write ``stem.tflite`` with the signature ``restore``. Norms are in their pointwise form."""
    from elir_edge.lowering.transposed import absorb_output_padding
    from elir_edge.quantize.litert_static import latent_sums

    path = conversion.folder / f"{conversion.stem}.tflite"
    float_parts = _wants_float_parts(conversion)
    if float_parts:
        graph = conversion.with_float_ends(graph)
    absorb_output_padding(graph)
    with conversion.progress.stage("converting to TFLite"), captured_output():
        _export(graph, path)
    model = read_file(path)
    rename_tensors(model)
    set_outputs(model, graph.output_names()[-1:], str(path))
    facts = {"schema": model.version, "signature": SIGNATURE}
    is_int8 = conversion.precision == "int8"
    sums = len(latent_sums(model, graph.output_names())) if is_int8 else 0
    model = _at_precision(model, graph, conversion)
    if is_int8:
        facts |= {"latent_sum_bits": _sum_bits(model, float_parts), "latent_sums": sums}
    if float_parts:
        facts[FLOAT_PARTS] = True
    path.write_bytes(pack_model(model))
    return facts


def join(folder: Path, path: Path, most_steps: int) -> dict[str, Any]:
    """Write the parts of a split artifact in ``folder`` as one file of three signatures."""
    path.write_bytes(pack_model(join_split(folder, most_steps)))
    return {"signature": ", ".join(PARTS)}


def finer_form_left(facts: Mapping[str, Any], *, integers_only: bool) -> bool:
    """Whether there is a form more accurate than that of ``facts``; with ``integers_only``, one without float ops.

    The second form has 16 bits for the sums of the latent stream, where there are any, which costs nano 24 % of the
    time, and ranges that hold for pictures unlike most. The third computes these sums, those of a residual estimator,
    pixels inside the graph and the ends of the autoencoder in float: no NPU takes all of it.
    """
    return _has_rounded_sums(facts) or ("latent_sum_bits" in facts and not integers_only and FLOAT_PARTS not in facts)


def _has_rounded_sums(facts: Mapping[str, Any]) -> bool:
    return facts.get("latent_sum_bits") == SUM_BITS and facts.get("latent_sums", 0) > 0


def _sum_bits(model: Any, float_parts: bool) -> int:
    return FLOAT_BITS if float_parts else WIDE_BITS if "int16" in tensor_types(model.subgraphs[0]) else SUM_BITS


def _wants_float_parts(conversion: Conversion) -> bool:
    """Whether the form without rounded sums has missed the gate."""
    return bool(conversion.missed) and not _has_rounded_sums(conversion.missed)


def embed(path: Path, text: str) -> None:
    """Write the manifest into a metadata buffer."""
    model = read_file(path)
    set_metadata(model, MANIFEST_KEY, text)
    path.write_bytes(pack_model(model))


def _at_precision(model: Any, graph: StaticRestorer, conversion: Conversion) -> Any:
    """The object tree at the precision of ``conversion``; ``model`` is changed on the way."""
    from elir_edge.quantize.litert_half import halve_weights

    if conversion.precision in INTEGER_PRECISIONS:
        model = _integer(model, graph, conversion)
    if conversion.precision == "fp16" or conversion.float_stages:
        halve_weights(model)
    return model


def _integer(model: Any, graph: StaticRestorer, conversion: Conversion) -> Any:
    from elir_edge.lowering.lower import measure
    from elir_edge.quantize.litert_static import quantize_tflite

    stages = graph.output_names()
    by_stage = tensors_by_stage(model, stages)
    float_tensors = conversion.float_names(by_stage)
    if _wants_float_parts(conversion):
        float_tensors |= _float_parts(model, graph, by_stage)
    return quantize_tflite(
        model,
        conversion.calibration,
        stages,
        conversion.progress,
        float_tensors,
        gflop=math.inf if conversion.fine else measure("int8", graph).gflop,
        tails=conversion.fine,
        bounds=clip_bounds(graph),
    )


def _float_parts(model: Any, graph: StaticRestorer, by_stage: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Names of the tensors in which rounding costs the picture most.

    They are what the ends of the autoencoder compute, pixels inside the graph, the sums of the latent stream, and those
    of a residual estimator at the largest size. A flat picture shows the rounding of its pixels as another colour.
    """
    from elir_edge.quantize.litert_static import latent_sums
    from elir_edge.quantize.moves import ends_of_autoencoder, stages_of_residual_sums

    kernels = [graph.get_parameter(f"{name}.weight").numpy() for name in sorted(ends_of_autoencoder(graph))]
    sums = [largest_sums(model, by_stage[stage]) for stage in stages_of_residual_sums(graph)]
    pixels = [stage for stage in clip_bounds(graph) if stage in by_stage]
    return outputs_of_kernels(model, kernels).union(pixels, latent_sums(model, graph.output_names()), *sums)


def clip_bounds(graph: StaticRestorer) -> dict[str, tuple[float, float]]:
    """(low, high) of the stages inside the graph that are pixels, which families clip as the restored image is.

    Where the restored image has the values of a stage in another order, that stage has its range: one rounding for two.
    """
    from elir_edge.quantize.moves import source_of_picture

    inside = [stage for stage in output_stages(graph.stage_list()) if stage.name != RESTORED]
    source = source_of_picture(graph)
    return {
        stage.name: (0.0, graph.pixel_gain) for stage in inside if stage.space is Space.PIXELS or stage.name == source
    }


def _export(graph: StaticRestorer, path: Path) -> None:
    try:
        import litert_torch
    except ImportError as error:
        raise missing_package("litert-torch", "tflite") from error

    names = [tensor.name for tensor in graph.inputs()]
    arguments = dict(zip(names, graph.example_inputs(), strict=True))
    edge = litert_torch.signature(SIGNATURE, graph.module_to_convert().eval(), sample_kwargs=arguments).convert()
    edge.export(str(path))


TARGET = Target(
    name="tflite",
    description="TFLite / LiteRT flatbuffer, NHWC",
    suffixes=(".tflite",),
    precisions=("fp32", "fp16", "int8", "mixed"),
    layouts={"float": "NHWC", "uint8": "NHWC"},
    latent_layout="NHWC",
    norm="pointwise",
    backends=("litert", "tensorflow"),
    packages=("torch", "litert-torch", "litert-converter", "ai-edge-litert"),
    extra="tflite",
    convert=convert,
    embed=embed,
    quantizers=("ai-edge-quantizer",),
    bytes_only=INTEGER_PRECISIONS,
    has_finer=finer_form_left,
    join=join,
)
