"""Manifests: other than the one inside, or with values of other types."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from elir_edge.artifacts.artifact import Manifest, sidecar
from elir_edge.cli.inspect import rows_of
from elir_edge.errors import DataError
from tests.robustness.faults import (
    Fault,
    assert_refused,
    manifest,
)

RESTORE = ("restore", "a.png", "-o", "old.png", "--force", "-a")


def lie(change: dict, folder: Path) -> None:
    """A manifest beside the artifact that states something else than the one inside, with hashes that agree."""
    beside = sidecar(folder / "good.onnx")
    data = json.loads(beside.read_text())
    beside.write_text(json.dumps(data | change))


def tensor(key: str, value: object) -> dict:
    whole = dataclasses.asdict(manifest().inputs[0]) | {key: value}
    return {"inputs": [whole]}


BESIDE = "the manifest beside it is not the one inside"
LIES = {
    "precision": ({"precision": "int8"}, "precision (int8)"),
    "target": ({"target": "tflite"}, "target (tflite)"),
    "size": ({"size": [64, 64]}, "size"),
    "dtype": (tensor("dtype", "uint8"), "inputs"),
    "shape": (tensor("shape", [1, 3, 64, 64]), "inputs"),
    "layout": (tensor("layout", "NHWC"), "inputs"),
    "weights": ({"weights": dict.fromkeys(("name", "kind", "sha256", "tensors_sha256"), "x")}, "weights"),
}


@pytest.mark.parametrize("command", [("inspect",), RESTORE, ("verify",)], ids=lambda command: command[0])
@pytest.mark.parametrize("line", LIES)
def test_the_manifest_beside_is_held_against_the_one_inside(line, command, place, run):
    change, *named = LIES[line]
    assert_refused(Fault(65, (*command, "good.onnx"), ("good.onnx", BESIDE, *named), partial(lie, change)), place, run)


WRONG_TYPES = [None, 3, -1, 2.5, True, "text", [], [1], {}, {"a": None}, [None], [[]]]


@pytest.mark.parametrize("value", WRONG_TYPES, ids=repr)
def test_a_manifest_with_a_value_of_another_type_is_refused_or_right(value):
    """At every place of a manifest, two levels deep; what is accepted can be shown and asked."""
    whole = json.loads(manifest(golden=None).to_json())
    places = [(key,) for key in whole] + [
        (key, inner) for key, item in whole.items() if isinstance(item, dict) for inner in item
    ]
    places += [("inputs", 0), *(("inputs", 0, key) for key in whole["inputs"][0])]
    for at in places:
        data = json.loads(json.dumps(whole))
        holder = data
        for step in at[:-1]:
            holder = holder[step]
        holder[at[-1]] = value
        try:
            found = Manifest.from_json(json.dumps(data), "a.json")
        except DataError as error:
            assert str(error).startswith("a.json: ") and error.hint
        else:
            assert f"{found.graph['parameters']:,} {found.graph['gflop']:.1f} {', '.join(found.files)}"
            assert rows_of(found)
            assert all(np.zeros(item.shape, item.dtype).size for item in found.inputs) or not isinstance(value, int)
