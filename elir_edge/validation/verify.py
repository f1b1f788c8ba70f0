"""The self-test of an artifact: its output now against the one recorded at export. Imports no torch."""

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
    """Allowed difference from the recorded output, values on the scale of 0..1.

    ``max_abs`` holds for every backend. With ``elsewhere_db`` it holds for the backend that recorded; others, whose
    kernels round differently, need a PSNR of at least ``elsewhere_db``.
    """

    max_abs: float
    elsewhere_db: float | None = None

    def accepts(self, item: Comparison, same_backend: bool) -> bool:
        """Whether the difference is allowed; never where the pictures cannot be compared."""
        if item.problem is not None:
            return False
        if same_backend or self.elsewhere_db is None:
            return item.max_abs <= self.max_abs
        return item.psnr_db >= self.elsewhere_db

    def describe(self, same_backend: bool) -> str:
        """The condition in words, for the backend that recorded or for another one."""
        if same_backend or self.elsewhere_db is None:
            return f"at most {self.max_abs:.1e}"
        return f"at least {self.elsewhere_db:.0f} dB"


@dataclass(frozen=True)
class Verification:
    """Result of a self-test; ``recorded_by`` and ``backend`` are runtimes with their versions."""

    passed: bool
    max_abs: float
    psnr_db: float
    tolerance: str
    backend: str
    recorded_by: str
    problem: str | None = None


def record_golden(path: Path, manifest: Manifest, backend: str) -> dict[str, Any]:
    """Run the artifact at ``path`` on a photograph and write its golden file; returns the facts for the manifest."""
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
    """Run the artifact on its golden input and compare with the golden output, without network and torch.

    ``backend`` None: the first installed one for the file. Raises MissingInputError and DataError as ``load_golden``,
    UsageError and UnavailableError as ``open_session``.
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
    """Tolerance of later runs: for fp32 its gate, for other precisions one level in the backend that recorded."""
    gate = gate_for(manifest.precision, manifest.io)
    return Tolerance(ONE_LEVEL, own_rounding_db(manifest)) if gate.max_abs is None else Tolerance(gate.max_abs)


def own_rounding_db(manifest: Manifest) -> float:
    """Minimum PSNR in dB between two runtimes' outputs: min(gate of the precision, PSNR at export - 3 dB).

    Each runtime may be as far from PyTorch as the artifact was at export; fp32 has 40 dB in place of the gate.
    """
    asked = gate_for(manifest.precision).psnr_db or ENOUGH_DB
    parity = (manifest.parity or {}).get("psnr_db", asked + OWN_ROUNDING_DB)
    return round(float(min(asked, parity - OWN_ROUNDING_DB)), 1)


@dataclass(frozen=True)
class Distance:
    """PSNR in dB between a picture and the recorded one, the least that is allowed, and, where it is less, in words."""

    psnr_db: float
    allowed_db: float
    too_far: str | None


def distance_to_golden(picture: np.ndarray, golden: Golden, manifest: Manifest) -> Distance:
    """How far another runtime's ``picture``, H x W x 3, is from the output in ``golden``."""
    found, allowed = compare(picture, golden.restored), own_rounding_db(manifest)
    words = found.problem or f"{found.psnr_db:.1f} dB"
    too_far = words if found.problem or found.psnr_db < allowed else None
    return Distance(round(found.psnr_db, 2), allowed, too_far)


def golden_feeds(manifest: Manifest, golden: Golden) -> dict[str, np.ndarray]:
    """The golden input as tensors of the graph by name, for other tools; inputs that it does not have are zero."""
    (image,) = (tensor for tensor in manifest.inputs if tensor.name == IMAGE)
    others = {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in manifest.inputs if tensor is not image}
    drawn = {} if golden.noise is None else {NOISE: golden.noise}
    return others | drawn | {IMAGE: to_graph(golden.pixels, image)}
