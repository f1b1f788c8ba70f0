"""Inputs and outputs of an artifact: from its embedded manifest, else as the runtime reports them."""

from __future__ import annotations

from pathlib import Path

from elir_edge.artifacts.artifact import Manifest
from elir_edge.artifacts.signature import TensorSpec
from elir_edge.errors import DataError

Reported = tuple[str, tuple[int, ...], str]


def describe(
    path: Path, text: str | None, inputs: list[Reported], outputs: list[Reported]
) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Combine what a runtime reports with the layout and value range that the manifest ``text`` states.

    Raises DataError where the two contradict each other, or a shape is not fixed.
    """
    manifest = Manifest.from_json(text, f"{path} (manifest inside)") if text else None
    stated = {tensor.name: tensor for tensor in (*manifest.inputs, *manifest.outputs)} if manifest else {}
    return [_one(path, stated, item) for item in inputs], [_one(path, stated, item) for item in outputs]


def _one(path: Path, stated: dict[str, TensorSpec], reported: Reported) -> TensorSpec:
    name, shape, dtype = reported
    if not all(isinstance(side, int) and side > 0 for side in shape):
        raise DataError(f"{path}: tensor '{name}' has no fixed shape ({shape})")
    known = stated.get(name)
    if known is None:
        return TensorSpec(name, shape, dtype, "unknown", "unknown")
    if (known.shape, known.dtype) != (shape, dtype):
        raise DataError(f"{path}: tensor '{name}' is {dtype} {shape}, its manifest says {known.dtype} {known.shape}")
    return known
