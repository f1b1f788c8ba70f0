"""Proving an artifact equal to the PyTorch model, or saying by how much it differs and where that began."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifact import Manifest
from elir_edge.errors import UsageError
from elir_edge.images import PHOTOGRAPHS, builtin_photograph, fit_picture, pictures_in, read_picture
from elir_edge.model.restorer import Restorer
from elir_edge.noise import NoiseContract
from elir_edge.parity import BYTE_LEVELS, FP32_MAX_ABS, Comparison, compare
from elir_edge.progress import Progress, Silent
from elir_edge.reference import picture_of, reference_trajectory, stages_of
from elir_edge.restore import image_input, noise_feeds, to_graph
from elir_edge.runtime import open_session
from elir_edge.runtime.base import Session
from elir_edge.signature import IMAGE, RESTORED, StageSpec

STAGE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class StageDrift:
    """How far a stage inside the artifact is from the model's, relative to the stage's largest value."""

    stage: str
    relative_max: float
    drifted: bool


@dataclass(frozen=True)
class Validation:
    """An artifact held against its model on several pictures. ``limit`` is what ``max_abs`` must not exceed."""

    backend: str
    limit: float
    pictures: dict[str, Comparison]
    stages: tuple[StageDrift, ...] = ()

    @property
    def worst(self) -> str:
        """The picture that differs most."""
        return max(self.pictures, key=lambda name: self.pictures[name].max_abs)

    @property
    def passed(self) -> bool:
        """Whether every picture is within the limit."""
        return all(item.problem is None and item.max_abs <= self.limit for item in self.pictures.values())

    @property
    def drift_began(self) -> str | None:
        """The first stage that differs, in the order in which they run; None where none does."""
        return next((stage.stage for stage in self.stages if stage.drifted), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        worst = self.pictures[self.worst]
        summary = {
            "passed": self.passed,
            "worst": self.worst,
            "max_abs": worst.max_abs,
            "drift_began": self.drift_began,
        }
        return summary | dataclasses.asdict(self)


def validate(
    path: Path,
    manifest: Manifest,
    restorer: Restorer,
    pictures: Mapping[str, np.ndarray],
    backend: str | None = None,
    stages: bool = False,
    progress: Progress | None = None,
) -> Validation:
    """Run the artifact and the model on ``pictures`` (uint8 H x W x 3, fitted to the graph's size) and compare.

    With ``stages``, or where the result fails, the stages inside are compared too, on the worst picture.
    """
    progress = progress or Silent()
    noise = NoiseContract(manifest.noise["mode"], manifest.noise["seed"])
    fitted = {name: fit_picture(pixels, *manifest.size) for name, pixels in pictures.items()}
    results = {}
    with open_session(path, backend) as session, progress.stage("comparing with PyTorch", len(fitted)) as advance:
        name = session.backend
        for label, pixels in fitted.items():
            results[label] = _compare(session, restorer, pixels, noise, manifest.io)
            advance(1)
    validation = Validation(name, limit_for(manifest), results)
    if stages or not validation.passed:
        with progress.stage("comparing stages"):
            drift = _stage_drift(path, manifest, restorer, fitted[validation.worst], noise, backend)
        validation = dataclasses.replace(validation, stages=drift)
    return validation


def limit_for(manifest: Manifest) -> float:
    """The largest difference allowed on the scale of 0..1: one level for bytes, which round, 1e-4 for floats."""
    return BYTE_LEVELS / 255 + 1e-9 if manifest.io == "uint8" else FP32_MAX_ABS


def gather_pictures(source: Path | None) -> dict[str, np.ndarray]:
    """The pictures of a folder, one file, or (None) the photographs that come with the package."""
    if source is None:
        return {name: builtin_photograph(name) for name in PHOTOGRAPHS}
    paths = pictures_in(source) if source.is_dir() else [source]
    return {path.name: read_picture(path) for path in paths}


def check_same_weights(manifest: Manifest, restorer: Restorer) -> None:
    """Raise UsageError unless ``restorer`` has the weights that the artifact was made from."""
    stated = manifest.weights["tensors_sha256"]
    from elir_edge.weights import tensors_sha256

    if tensors_sha256(restorer.state_dict()) != stated:
        raise UsageError(
            f"these weights are not the ones the artifact was made from ({manifest.weights['name']})",
            hint="give the checkpoint it was exported from with --weights",
        )


def _compare(session: Session, restorer: Restorer, pixels: np.ndarray, noise: NoiseContract, io: str) -> Comparison:
    expected = picture_of(reference_trajectory(restorer, pixels, noise).restored, io)
    return compare(_picture(session, _run(session, pixels)[RESTORED]), expected)


def _run(session: Session, pixels: np.ndarray) -> dict[str, np.ndarray]:
    image = to_graph(pixels.astype(np.float32), image_input(session))
    return session.run({IMAGE: image, **noise_feeds(session, 0)})


def _picture(session: Session, restored: np.ndarray) -> np.ndarray:
    return restored[0] if image_input(session).layout == "NHWC" else restored[0].transpose(1, 2, 0)


def _stage_drift(
    path: Path, manifest: Manifest, restorer: Restorer, pixels: np.ndarray, noise: NoiseContract, backend: str | None
) -> tuple[StageDrift, ...]:
    expected = stages_of(reference_trajectory(restorer, pixels, noise))
    names = tuple(stage.name for stage in manifest.stages)
    with open_session(path, backend, stages=names) as session:
        actual = _run(session, pixels)
    return tuple(_drift(stage, actual[stage.name], expected[stage.name]) for stage in manifest.stages)


def _drift(stage: StageSpec, actual: np.ndarray, expected: np.ndarray) -> StageDrift:
    latent = actual.transpose(0, 3, 1, 2) if stage.layout == "NHWC" else actual
    if latent.shape != expected.shape or not np.isfinite(latent).all():
        return StageDrift(stage.name, float("inf"), True)
    difference = np.abs(latent / stage.gain - expected).max()
    relative = float(difference / np.abs(expected).max())
    return StageDrift(stage.name, relative, relative > STAGE_TOLERANCE)
