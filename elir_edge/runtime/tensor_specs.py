"""Specs of an artifact's inputs and outputs, from the runtime and the manifest inside."""

from __future__ import annotations

from pathlib import Path

from elir_edge.artifacts.artifact import Manifest
from elir_edge.artifacts.signature import TensorSpec
from elir_edge.errors import DataError

EXPORT = "export it again with elir-edge export"
RuntimeTensor = tuple[str, tuple[int, ...], str]  # name, shape, NumPy's name of the dtype


def tensor_specs(
    path: Path, text: str | None, inputs: list[RuntimeTensor], outputs: list[RuntimeTensor]
) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """(inputs, outputs): what the runtime reports, with layout and value range from the manifest ``text``.

    Without a manifest both are "unknown". Raises DataError where the two disagree, or a shape is not fixed.
    """
    manifest = Manifest.from_json(text, f"{path} (manifest inside)") if text else None
    stated = {tensor.name: tensor for tensor in (*manifest.inputs, *manifest.outputs)} if manifest else {}
    return [_spec(path, stated, item) for item in inputs], [_spec(path, stated, item) for item in outputs]


def _spec(path: Path, stated: dict[str, TensorSpec], tensor: RuntimeTensor) -> TensorSpec:
    name, shape, dtype = tensor
    if not all(isinstance(side, int) and side > 0 for side in shape):
        raise DataError(f"{path}: tensor '{name}' has no fixed shape ({shape})", hint=EXPORT)
    known = stated.get(name)
    if known is None:
        return TensorSpec(name, shape, dtype, "unknown", "unknown")
    if (known.shape, known.dtype) != (shape, dtype):
        raise DataError(
            f"{path}: tensor '{name}' is {dtype} {shape}, its manifest says {known.dtype} {known.shape}", hint=EXPORT
        )
    return known
