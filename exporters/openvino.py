"""OpenVINO IR (.xml and .bin), directly from PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.artifacts.signature import RESTORED
from elir_edge.core.native import captured_output
from elir_edge.errors import missing_package
from elir_edge.pipeline.target import INTEGER_PRECISIONS, Conversion, Target, finer_form_left
from elir_edge.quantize.levels import LEVELS_WITHOUT_VNNI

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from elir_edge.lowering.static import StaticRestorer


def convert(graph: StaticRestorer, conversion: Conversion) -> dict[str, Any]:
    """Write ``stem.xml`` and ``stem.bin``. GroupNormalization stays one op, SiLU becomes Swish."""
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise missing_package("openvino", "openvino") from error
    from elir_edge.lowering.trace import trace

    graph = conversion.with_float_ends(graph)
    inputs = graph.inputs()
    with conversion.progress.stage("converting to OpenVINO IR"), captured_output():
        model = _from_program(trace(graph))
    for port, tensor in zip(model.inputs, inputs, strict=True):
        port.get_tensor().set_names({tensor.name})
        port.get_node().set_friendly_name(tensor.name)
    stages = graph.output_names()
    for result, name in zip(list(model.get_results()), stages, strict=True):
        _name_stage(model, result, name, keep=name == stages[-1])
    _keep_names(model, {*(tensor.name for tensor in inputs), *stages})
    _rename_nodes(model)
    path = conversion.folder / f"{conversion.stem}.xml"
    _save(_at_precision(model, graph, conversion), path, half=conversion.precision == "fp16")
    return {"ir": int(ElementTree.parse(path).getroot().attrib["version"])} | conversion.form_facts()


def embed(path: Path, text: str) -> None:
    """Write the manifest into the rt_info of the IR."""
    import openvino

    model = openvino.Core().read_model(path)
    model.set_rt_info(text, [MANIFEST_KEY])
    staged = path.with_name(f"{path.stem}.embedded.xml")  # never the file that ``model`` has mapped
    _save(model, staged)
    del model
    for suffix in (".xml", ".bin"):
        staged.with_suffix(suffix).replace(path.with_suffix(suffix))


def _from_program(program: ExportedProgram) -> Any:
    """Convert with the frontend itself: ``openvino.convert_model`` also sends telemetry."""
    from openvino._offline_transformations import apply_moc_transformations
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchFXPythonDecoder.from_exported_program(program, dynamic_shapes=False)
    model = frontend.convert(frontend.load(decoder))
    apply_moc_transformations(model, cf=False, smart_reshape=False)
    return model


def _name_stage(model: Any, result: Any, name: str, *, keep: bool) -> None:
    """Name the tensor of ``result``; remove the result unless it is to be kept."""
    if keep:
        result.output(0).get_tensor().set_names({name})
    else:
        result.input_value(0).get_tensor().set_names({name})
        model.remove_result(result)


def _at_precision(model: Any, graph: StaticRestorer, conversion: Conversion) -> Any:
    if conversion.precision not in INTEGER_PRECISIONS:
        return model
    from elir_edge.formats.openvino import largest_sums, nodes_by_stage, nodes_with_kernels
    from elir_edge.quantize.moves import ends_of_autoencoder, stages_of_residual_sums, stages_that_move
    from elir_edge.quantize.nncf_ir import quantize_ir

    stages = graph.output_names()
    by_stage = nodes_by_stage(model, stages)
    float_ops = conversion.float_names(by_stage, stages_that_move(graph))
    sums = (largest_sums(model, by_stage[stage]) for stage in stages_of_residual_sums(graph))
    latents = frozenset(stages) - {RESTORED}
    if conversion.fine:
        kernels = [graph.get_parameter(f"{name}.weight").numpy() for name in sorted(ends_of_autoencoder(graph))]
        float_ops |= nodes_with_kernels(model, kernels)
    return quantize_ir(model, conversion.calibration, conversion.progress, float_ops.union(*sums), latents)


def _save(model: Any, path: Path, half: bool = False) -> None:
    import openvino

    openvino.save_model(model, path, compress_to_fp16=half)
    _compact(path)


def _compact(path: Path) -> None:
    """Remove from the XML what OpenVINO infers: white space, input types, and shapes except those of graph inputs."""
    tree = ElementTree.parse(path)
    for element in tree.iter():
        element.text, element.tail = (element.text or "").strip(), None
    for layer in tree.iter("layer"):
        if layer.get("type") != "Parameter":
            for port in layer.iter("port"):
                del port[:]
        for port in layer.iterfind("input/port"):
            port.attrib.pop("precision", None)
    tree.write(path)


def _keep_names(model: Any, keep: set[str]) -> None:
    """Remove all names of tensors except ``keep``: the converter's names."""
    for node in model.get_ops():
        for port in node.outputs():
            tensor = port.get_tensor()
            tensor.set_names(tensor.get_names() & keep)


def _rename_nodes(model: Any) -> None:
    """Give nodes short names in the order of execution; the converter's numbers differ between runs."""
    model.set_friendly_name("elir")
    ordered = model.get_ordered_ops()
    for i, node in enumerate(ordered):
        if node.get_type_name() != "Parameter":
            kind = node.get_type_name()
            node.set_friendly_name(f"c{i}" if kind == "Constant" else f"{kind}_{i}")


TARGET = Target(
    name="openvino",
    description="OpenVINO IR, .xml and .bin",
    suffixes=(".xml", ".bin"),
    precisions=("fp32", "fp16", "int8", "mixed"),
    layouts={"float": "NCHW", "uint8": "NHWC"},
    latent_layout="NCHW",
    norm="means",
    backends=("openvino",),
    packages=("torch", "openvino"),
    extra="openvino",
    convert=convert,
    embed=embed,
    quantizers=("nncf",),
    kernel_levels=LEVELS_WITHOUT_VNNI,
    has_finer=finer_form_left,
)
