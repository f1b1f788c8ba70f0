"""TFLite (LiteRT), NHWC, all tensors at most 4-D, through litert-torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from elir_edge.formats.tflite.flatmodel import tensor_types, tensors_by_stage
from elir_edge.formats.tflite.one_file import join_split
from elir_edge.pipeline.target import INTEGER_PRECISIONS, Conversion, Target

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer

SIGNATURE = "restore"


def convert(graph: StaticRestorer, conversion: Conversion) -> dict[str, Any]:
    """Write ``stem.tflite`` with the signature ``restore``. Norms are in their pointwise form."""
    path = conversion.folder / f"{conversion.stem}.tflite"
    with conversion.progress.stage("converting to TFLite"), captured_output():
        _export(graph, path)
    from elir_edge.quantize.litert_static import latent_sums

    model = read_file(path)
    rename_tensors(model)
    set_outputs(model, graph.output_names()[-1:], str(path))
    facts = {"schema": model.version, "signature": SIGNATURE}
    is_int8 = conversion.precision == "int8"
    sums = len(latent_sums(model, graph.output_names())) if is_int8 else 0
    model = _at_precision(model, graph, conversion)
    if is_int8:
        facts |= {"latent_sum_bits": 16 if "int16" in tensor_types(model) else 8, "latent_sums": sums}
    path.write_bytes(pack_model(model))
    return facts


def join(folder: Path, path: Path, most_steps: int) -> dict[str, Any]:
    """Write the parts of a split artifact in ``folder`` as one file of three signatures."""
    path.write_bytes(pack_model(join_split(folder, most_steps)))
    return {"signature": ", ".join(PARTS)}


def has_finer(facts: Mapping[str, Any]) -> bool:
    """Whether there are sums of the latent stream and they have 8 bits.

    The finer form has 16, which costs nano 24 % of the time, and ranges that hold for pictures unlike most.
    """
    return facts.get("latent_sum_bits") == 8 and facts.get("latent_sums", 0) > 0


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
    return quantize_tflite(
        model,
        conversion.calibration,
        stages,
        conversion.progress,
        conversion.float_names(tensors_by_stage(model, stages)),
        gflop=math.inf if conversion.fine else measure("int8", graph).gflop,
        tails=conversion.fine,
        bounds=_clip_bounds(graph),
    )


def _clip_bounds(graph: StaticRestorer) -> dict[str, tuple[float, float]]:
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
    has_finer=has_finer,
    join=join,
)
