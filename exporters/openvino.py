"""OpenVINO IR (.xml and .bin), straight from PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from elir_edge.artifact import MANIFEST_KEY
from elir_edge.errors import missing_package
from elir_edge.native import captured_output
from elir_edge.signature import RESTORED
from elir_edge.target import Conversion, Target

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from elir_edge.lowering.static import StaticRestorer


def convert(graph: StaticRestorer, conversion: Conversion) -> dict[str, Any]:
    """Write ``stem.xml`` and ``stem.bin``. GroupNormalization stays one op, SiLU becomes Swish."""
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise missing_package("openvino", "openvino") from error
    from elir_edge.lowering.staged import StagedRestorer
    from elir_edge.lowering.trace import trace

    inputs = graph.form.inputs(graph.spec)
    with conversion.progress.stage("converting to OpenVINO IR"), captured_output():
        model = _from_program(trace(graph))
    for port, tensor in zip(model.inputs, inputs, strict=True):
        port.get_tensor().set_names({tensor.name})
        port.get_node().set_friendly_name(tensor.name)
    for result, name in zip(list(model.get_results()), StagedRestorer(graph).output_names(), strict=True):
        _name_stage(model, result, name)
    _rename_nodes(model)
    path = conversion.folder / f"{conversion.stem}.xml"
    _save(model, path)
    return {"ir": int(ElementTree.parse(path).getroot().attrib["version"])}


def embed(path: Path, text: str) -> None:
    """Put the manifest into the IR's rt_info."""
    import openvino

    model = openvino.Core().read_model(path)
    model.set_rt_info(text, [MANIFEST_KEY])
    staged = path.with_name("embedded.xml")
    _save(model, staged)
    del model
    for suffix in (".xml", ".bin"):
        staged.with_suffix(suffix).replace(path.with_suffix(suffix))


def _from_program(program: ExportedProgram) -> Any:
    """Through the frontend itself: ``openvino.convert_model`` would also report the conversion to its vendor."""
    from openvino._offline_transformations import apply_moc_transformations
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchFXPythonDecoder.from_exported_program(program, dynamic_shapes=False)
    model = frontend.convert(frontend.load(decoder))
    apply_moc_transformations(model, cf=False, smart_reshape=False)
    return model


def _name_stage(model: Any, result: Any, name: str) -> None:
    """Name what feeds ``result``, and keep the result itself only where it is the restored image."""
    if name == RESTORED:
        result.output(0).get_tensor().set_names({name})
    else:
        result.input_value(0).get_tensor().set_names({name})
        model.remove_result(result)


def _save(model: Any, path: Path) -> None:
    import openvino

    openvino.save_model(model, path, compress_to_fp16=False)


def _rename_nodes(model: Any) -> None:
    """Short names in the order of execution: the converter's count differs between runs."""
    model.set_friendly_name("elir")
    ordered = model.get_ordered_ops()
    for i, node in enumerate(ordered):
        if node.get_type_name() != "Parameter":
            node.set_friendly_name(f"{node.get_type_name()}_{i}")


TARGET = Target(
    name="openvino",
    description="OpenVINO IR, .xml and .bin",
    suffixes=(".xml", ".bin"),
    precisions=("fp32",),
    layouts={"float": "NCHW", "uint8": "NHWC"},
    latent_layout="NCHW",
    norm="native",
    backends=("openvino",),
    packages=("torch", "openvino"),
    extra="openvino",
    convert=convert,
    embed=embed,
)
