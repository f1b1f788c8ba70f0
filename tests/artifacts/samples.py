"""Artifacts without a model, for tests of writing. Imports no pytest, so that child processes start fast."""

from __future__ import annotations

import hashlib
from pathlib import Path

from elir_edge.artifacts.artifact import Manifest, sidecar
from elir_edge.core.publish import copy_in, publish, scratch_folder, staging, write_in

OLD, NEW = b"old" * 1000, b"new" * 1000


def manifest(**changes: object) -> Manifest:
    """The manifest of an OpenVINO artifact of random weights."""
    facts = {
        "target": "openvino", "precision": "fp32", "spec": {"name": "tiny", "task": "none", "steps": 1},
        "weights": {"name": "random:0", "kind": "random", "sha256": "", "tensors_sha256": "", "trained": False},
        "size": (8, 8),
        "io": "float", "layout": "NCHW", "noise": {"mode": "zero", "seed": None, "sigma_s": 0.1}, "inputs": (),
        "outputs": (), "stages": (), "graph": {"parameters": 1, "gflop": 0.1}, "format": {}, "versions": {},
        "request": "",
    }  # fmt: skip
    return Manifest(**facts | changes)


def write_artifact(path: Path, content: bytes, names: tuple[str, ...] = ("a.xml", "a.bin")) -> None:
    """Write files called ``names`` from a scratch folder, as export does, and remove others of an earlier artifact."""
    others = [path.parent / name for name in ("a.bin", "a.extra") if name not in names]
    with staging(path) as staged, scratch_folder(staged) as scratch:
        for name in names:
            (scratch / name).write_bytes(content)
        files = [copy_in(scratch / name, staged) for name in names]
        hashes = {name: hashlib.sha256(content).hexdigest() for name in names}
        beside = write_in(staged, sidecar(path).name, manifest(files=hashes).to_json().encode())
        publish(path, [*files, beside], others)


def write_folder(path: Path, content: bytes) -> None:
    """Write a folder with two files in a folder inside."""
    with staging(path) as staged:
        (staged / path.name / "inner").mkdir(parents=True)
        for name in ("x", "y"):
            write_in(staged / path.name / "inner", name, content)
        publish(path, [staged / path.name])
