"""Reading and editing .mlpackage folders: metadata, outputs, the list of parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elir_edge.core.native import captured_output
from elir_edge.errors import DataError, missing_package

MODEL = Path("Data", "com.apple.CoreML", "model.mlmodel")
MAIN = "main"
LIST = "Manifest.json"
ITEMS = {
    "model": ("model.mlmodel", "CoreML Model Specification"),
    "weights": ("weights", "CoreML Model Weights"),
}


def read_spec(path: Path) -> Any:
    """The model's specification (``Model_pb2.Model``). Raises DataError where ``path`` is not a Core ML package."""
    try:
        with captured_output():
            from coremltools.proto import Model_pb2
    except ImportError as error:
        raise missing_package("coremltools", "coreml") from error
    spec = Model_pb2.Model()
    try:
        spec.ParseFromString((path / MODEL).read_bytes())
        block_of(spec)
    except Exception as error:  # protobuf raises a class of its own, the file system another
        raise DataError(
            f"{path}: not a Core ML package ({type(error).__name__}: {error})",
            hint="it is damaged, or made for another version: copy it again, or export it again",
        ) from error
    return spec


def write_spec(path: Path, spec: Any) -> None:
    """Write ``spec`` into the package; equal specifications give equal bytes."""
    (path / MODEL).write_bytes(spec.SerializeToString(deterministic=True))


def block_of(spec: Any) -> Any:
    """The block of operations of the ML program. Raises KeyError where there is none."""
    if MAIN not in spec.mlProgram.functions:  # indexing the map would create an empty one
        raise KeyError("no ML program inside")
    function = spec.mlProgram.functions[MAIN]
    if function.opset not in function.block_specializations:
        raise KeyError(f"no program for {function.opset} inside")
    return function.block_specializations[function.opset]


def set_outputs(spec: Any, names: list[str], where: Path) -> None:
    """Make the tensors called ``names`` the model's outputs. Raises DataError where one is missing.

    Existing outputs keep their description; new ones are described as float32 arrays.
    """
    block = block_of(spec)
    known = {output.name: output.type.tensorType for op in block.operations for output in op.outputs}
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{where}: the program has no tensor called {', '.join(missing)}",
            hint="elir-edge inspect names the stages inside; one exported by elir-edge has them",
        )
    kept = {output.name: output for output in spec.description.output}
    described = [kept.get(name) or _array(spec, name, known[name]) for name in names]
    del block.outputs[:], spec.description.output[:]
    block.outputs.extend(names)
    spec.description.output.extend(described)


def write_list(path: Path) -> None:
    """Write the package's list of parts with fixed identifiers, and remove other files from the top folder."""
    entries = {
        key: {"author": "com.apple.CoreML", "description": text, "name": name, "path": f"com.apple.CoreML/{name}"}
        for key, (name, text) in ITEMS.items()
    }
    content = {"fileFormatVersion": "1.0.0", "itemInfoEntries": entries, "rootModelIdentifier": "model"}
    for file in path.iterdir():
        if file.is_file():
            file.unlink()
    (path / LIST).write_text(json.dumps(content, indent=4, sort_keys=True))


def _array(spec: Any, name: str, tensor: Any) -> Any:
    feature = type(spec.description.output.add())(name=name)
    del spec.description.output[-1]
    array = feature.type.multiArrayType
    array.dataType = array.ArrayDataType.Value("FLOAT32")
    array.shape.extend(int(dimension.constant.size) for dimension in tensor.dimensions)
    return feature
