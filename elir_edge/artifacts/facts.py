"""The facts that every manifest states, and of which type: checked before anything relies on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NUMBER = (int, float)
FACTS: dict[str, Any] = {
    "target": str,
    "precision": str,
    "io": str,
    "layout": str,
    "request": str,
    "size": list,
    "spec": {"name": str, "task": str, "steps": int},
    "weights": {"name": str, "kind": str, "sha256": str, "tensors_sha256": str},
    "noise": {"mode": str, "seed": (int, type(None)), "sigma_s": NUMBER},
    "inputs": list,
    "outputs": list,
    "stages": list,
    "graph": {"parameters": int, "gflop": NUMBER},
    "format": dict,
    "versions": dict,
    "files": dict,
}
TENSOR_FACTS = {"name": str, "shape": list, "dtype": str, "layout": str, "values": str}
DTYPES = ("float32", "float16", "uint8", "int8", "int16", "int32")
STAGE_FACTS = {"name": str, "shape": list, "layout": str, "gain": NUMBER}
NOT_COMPARED = "not_compared"  # key of the reason, where parity has no figures
PARITY_FACTS = {
    "against": str,
    "backend": str,
    "backend_version": str,
    "pictures": list,
    "max_abs": NUMBER,
    "psnr_db": NUMBER,
}
FEW_HAVE = ("autoencoder_db", "reference_db", "mean_drop_db", "worst_drop_db")
GOLDEN_FACTS = {
    "file": str,
    "sha256": str,
    "picture": str,
    "backend": str,
    "backend_version": str,
    "max_abs": NUMBER,
    "elsewhere_db": (int, float, type(None)),
}
COMPILED_FACTS = {
    "device": str,
    "compiler": str,
    "compiler_version": str,
    "made_from": {"name": str},
    "figures": dict,
    "figures_are": str,
}
OPTIONAL: dict[str, dict[str, Any]] = {
    "golden": GOLDEN_FACTS,
    "compiled": COMPILED_FACTS,
    "quantization": {},
    "split": {"most_steps": int},
    "activations": {"limit": NUMBER, "largest": NUMBER, "stage": str, "operator": str, "stages": dict},
}


def check_facts(data: Mapping[str, Any]) -> None:
    """Raise KeyError or TypeError, naming the key, unless a manifest's ``data`` has all facts with their types."""
    _require(data, FACTS, "")
    for key in ("inputs", "outputs"):
        for i, tensor in enumerate(data[key]):
            _require_tensor(tensor, TENSOR_FACTS, f"{key}[{i}].")
    for i, stage in enumerate(data["stages"]):
        _require_tensor(stage, STAGE_FACTS, f"stages[{i}].")
    _require_sides(data["size"], "size")
    for key in ("versions", "files"):
        _require(data[key], dict.fromkeys(data[key], str), f"{key}.")
    for key, wanted in OPTIONAL.items():
        if data.get(key) is not None:
            _require(data[key], wanted, f"{key}.")
    parity = data.get("parity")
    if parity is not None:
        facts = {NOT_COMPARED: str} if isinstance(parity, dict) and NOT_COMPARED in parity else PARITY_FACTS
        _require(parity, facts | {key: NUMBER for key in FEW_HAVE if key in parity}, "parity.")
        if not all(isinstance(name, str) for name in parity.get("pictures", ())):
            raise TypeError("parity.pictures are no names")


def _require(data: Any, facts: Mapping[Any, Any], where: str) -> None:
    if not isinstance(data, dict):
        raise TypeError(f"{where.rstrip('.')} is {type(data).__name__}")
    for key, kind in facts.items():
        value = data[key]
        if isinstance(kind, dict):
            _require(value, kind, f"{where}{key}.")
        elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{where}{key} is {type(value).__name__}")


def _require_tensor(data: Any, facts: Mapping[str, Any], where: str) -> None:
    _require(data, facts, where)
    if data.get("dtype", DTYPES[0]) not in DTYPES:
        raise TypeError(f"{where}dtype is none of {', '.join(DTYPES)}")
    _require_sides(data["shape"], f"{where}shape")


def _require_sides(sides: list[Any], where: str) -> None:
    if not all(type(side) is int and side > 0 for side in sides):
        raise TypeError(f"{where} is {sides!s:.60}")
