"""Whether an artifact still does what it did when it was exported. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import Artifact, Manifest
from elir_edge.artifacts.golden import Golden, golden_path, load_golden, pack_golden
from elir_edge.artifacts.signature import IMAGE, NOISE
from elir_edge.artifacts.tensors import to_graph
from elir_edge.core.files import sha256_of
from elir_edge.imaging.comparison import Comparison, compare
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.runtime.backend import get_backend
from elir_edge.runtime.restore import noise_feeds, run_picture
from elir_edge.runtime.session import open_session
from elir_edge.validation.gates import ONE_LEVEL, gate_for

PICTURE = "astronaut"
NOISE_SEED = 0
ENOUGH_DB = 40.0
OWN_ROUNDING_DB = 3.0


@dataclass(frozen=True)
class Tolerance:
    """``max_abs`` on the scale of 0..1 binds every backend, or only the recording one where ``elsewhere_db`` is given:
    kernels of others round differently, and are held to that PSNR instead.
    """

    max_abs: float
    elsewhere_db: float | None = None

    def accepts(self, item: Comparison, same_backend: bool) -> bool:
        """Whether the difference is within. What cannot be compared never is."""
        if item.problem is not None:
            return False
        if same_backend or self.elsewhere_db is None:
            return item.max_abs <= self.max_abs
        return item.psnr_db >= self.elsewhere_db

    def describe(self, same_backend: bool) -> str:
        """In words, for the backend that is meant."""
        if same_backend or self.elsewhere_db is None:
            return f"at most {self.max_abs:.1e}"
        return f"at least {self.elsewhere_db:.0f} dB"


@dataclass(frozen=True)
class Verification:
    """An artifact run on its golden input. ``recorded_by`` and ``backend`` name runtime and version."""

    passed: bool
    max_abs: float
    psnr_db: float
    tolerance: str
    backend: str
    recorded_by: str
    problem: str | None = None


def record_golden(path: Path, manifest: Manifest, backend: str) -> dict[str, Any]:
    """Run the artifact on a photograph and write its golden file beside it; gives the facts for the manifest."""
    pixels = fit_picture(builtin_photograph(PICTURE), *manifest.size)
    with open_session(path, backend) as session:
        noise = noise_feeds(session, NOISE_SEED).get(NOISE)
        golden = Golden(pixels, noise, run_picture(session, pixels, noise=noise))
    target = golden_path(path)
    target.write_bytes(pack_golden(golden))
    tolerance = tolerance_for(manifest)
    return {
        "file": target.name,
        "sha256": sha256_of(target),
        "picture": PICTURE,
        "backend": backend,
        "backend_version": get_backend(backend).release(),
        "max_abs": tolerance.max_abs,
        "elsewhere_db": tolerance.elsewhere_db,
    }


def verify(artifact: Artifact, backend: str | None = None) -> Verification:
    """Run the artifact on its golden input, offline and without torch, and compare with the golden output.

    ``backend`` None takes the usual one for the file. Raises MissingInputError or DataError as ``load_golden`` does,
    UsageError and UnavailableError as ``open_session`` does.
    """
    golden = load_golden(artifact)
    facts = artifact.manifest.golden or {}
    with open_session(artifact.path, backend) as session:
        picture = run_picture(session, golden.pixels, noise=golden.noise)
        name = session.backend
    item = compare(picture, golden.restored)
    tolerance = Tolerance(facts["max_abs"], facts["elsewhere_db"])
    same = name == facts["backend"]
    return Verification(
        passed=tolerance.accepts(item, same),
        max_abs=item.max_abs,
        psnr_db=item.psnr_db,
        tolerance=tolerance.describe(same),
        backend=f"{name} {get_backend(name).release()}",
        recorded_by=f"{facts['backend']} {facts['backend_version']}",
        problem=item.problem,
    )


def tolerance_for(manifest: Manifest) -> Tolerance:
    """What an artifact is held to on later runs: fp32 to its gate, others to one level where they were recorded."""
    gate = gate_for(manifest.precision, manifest.io)
    return Tolerance(ONE_LEVEL, own_rounding_db(manifest)) if gate.max_abs is None else Tolerance(gate.max_abs)


def own_rounding_db(manifest: Manifest) -> float:
    """How near two runtimes' pictures of a graph must be: each rounds in its own way, and each may be as far from
    PyTorch as the artifact was found to be; more than its precision's gate is not asked.
    """
    asked = gate_for(manifest.precision).psnr_db or ENOUGH_DB
    parity = (manifest.parity or {}).get("psnr_db", asked + OWN_ROUNDING_DB)
    return round(float(min(asked, parity - OWN_ROUNDING_DB)), 1)


def golden_feeds(manifest: Manifest, golden: Golden) -> dict[str, np.ndarray]:
    """A golden input as the graph takes it, for those who run the artifact elsewhere; noise it lacks is zero."""
    (image,) = (tensor for tensor in manifest.inputs if tensor.name == IMAGE)
    others = {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in manifest.inputs if tensor is not image}
    drawn = {} if golden.noise is None else {NOISE: golden.noise}
    return others | drawn | {IMAGE: to_graph(golden.pixels, image)}
