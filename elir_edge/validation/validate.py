"""Comparison of an artifact with the PyTorch model: picture by picture and, on demand, stage by stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from elir_edge.artifacts.artifact import Manifest
from elir_edge.artifacts.signature import RESTORED, StageSpec
from elir_edge.artifacts.tensors import feeds_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import UnavailableError, UsageError
from elir_edge.families.restorer import Restorer
from elir_edge.families.weights import tensors_sha256
from elir_edge.imaging.comparison import compare, incomparable, not_finite, picture_psnr
from elir_edge.imaging.noise import NoiseContract
from elir_edge.imaging.pictures import fit_picture
from elir_edge.runtime.restore import run_picture
from elir_edge.runtime.session import open_session
from elir_edge.validation.gates import EXACT, gate_for
from elir_edge.validation.reference import picture_of, reference_trajectory, stages_of
from elir_edge.validation.result import StageDrift, Truth, Validation
from elir_edge.validation.stages import StageError, latent_of, measure_stages

STAGE_TOLERANCE = 1e-4


def validate(
    path: Path,
    manifest: Manifest,
    restorer: Restorer,
    pictures: Mapping[str, np.ndarray],
    *,
    backend: str | None = None,
    stages: bool = False,
    progress: Progress | None = None,
    originals: Mapping[str, np.ndarray] | None = None,
) -> Validation:
    """Run the artifact at ``path`` and the model on ``pictures``, and compare the results.

    Args:
        pictures: uint8 H x W x 3 by name; cut and scaled to the graph's size.
        stages: compare the stages too, on the worst picture. A result that fails always has them.
        originals: the pictures before degradation, same names, of the graph's size; None where they are not known.

    Stages of fp32 artifacts are compared by their largest difference, those of other precisions by their error in dB.

    Raises UsageError where there are no pictures, or one has no original among ``originals``.
    """
    _check_pictures(pictures, originals)
    progress = progress or Silent()
    fitted = {name: fit_picture(pixels, *manifest.size) for name, pixels in pictures.items()}
    validation = _compare_pictures(path, manifest, restorer, fitted, backend, progress, originals)
    if not stages and validation.passed:
        return validation
    try:
        return _with_stages(path, manifest, restorer, fitted[validation.worst], validation, progress)
    except UnavailableError as error:
        progress.note(f"note: the stages cannot be compared here: {error}")
        return validation


def check_same_weights(manifest: Manifest, restorer: Restorer) -> None:
    """Raise UsageError unless ``restorer`` has the weights that the artifact was made from."""
    stated = manifest.weights["tensors_sha256"]
    if tensors_sha256(restorer.state_dict()) != stated:
        raise UsageError(
            f"these weights are not the ones the artifact was made from ({manifest.weights['name']})",
            hint="give the checkpoint it was exported from with --weights",
        )


def _check_pictures(pictures: Mapping[str, np.ndarray], originals: Mapping[str, np.ndarray] | None) -> None:
    if not pictures:
        raise UsageError("there are no pictures to compare", hint="give at least one")
    missing = [name for name in pictures if originals is not None and name not in originals]
    if missing:
        raise UsageError(f"no original is named {', '.join(missing)}", hint="give one for each picture, or none at all")


def _compare_pictures(
    path: Path,
    manifest: Manifest,
    restorer: Restorer,
    pictures: Mapping[str, np.ndarray],
    backend: str | None,
    progress: Progress,
    originals: Mapping[str, np.ndarray] | None,
) -> Validation:
    noise = _noise_of(manifest)
    results, truths = {}, {}
    with open_session(path, backend) as session, progress.stage("comparing with PyTorch", len(pictures)) as advance:
        name = session.backend
        for label, pixels in pictures.items():
            restored = reference_trajectory(restorer, pixels, noise).restored
            expected, actual = picture_of(restored, manifest.io), run_picture(session, pixels)
            problem = not_finite("the model's", restored.numpy())  # bytes would hide it
            results[label] = incomparable(problem) if problem else compare(actual, expected)
            if originals is not None and results[label].problem is None:
                truths[label] = Truth(*(picture_psnr(picture, originals[label]) for picture in (expected, actual)))
            advance(1)
    return Validation(name, gate_for(manifest.precision, manifest.io), results, truths)


def _with_stages(
    path: Path,
    manifest: Manifest,
    restorer: Restorer,
    pixels: np.ndarray,
    validation: Validation,
    progress: Progress,
) -> Validation:
    """``validation`` with its stages compared on ``pixels``. Raises UnavailableError where the runtime cannot."""
    if manifest.precision == EXACT:
        with progress.stage("comparing stages"):
            drift = _stage_drift(path, manifest, restorer, pixels, validation.backend)
        return dataclasses.replace(validation, stages=drift)
    errors = _stage_errors(path, manifest, restorer, pixels, validation.backend, progress)
    return dataclasses.replace(validation, errors=errors)


def _noise_of(manifest: Manifest) -> NoiseContract:
    return NoiseContract(manifest.noise["mode"], manifest.noise["seed"])


def _stage_drift(
    path: Path, manifest: Manifest, restorer: Restorer, pixels: np.ndarray, backend: str
) -> tuple[StageDrift, ...]:
    expected = stages_of(reference_trajectory(restorer, pixels, _noise_of(manifest)))
    names = tuple(stage.name for stage in manifest.stages)
    with open_session(path, backend, stages=names) as session:
        actual = session.run(feeds_of(session.inputs, pixels))
    return tuple(_drift(stage, actual[stage.name], expected[stage.name]) for stage in manifest.stages)


def _stage_errors(
    path: Path, manifest: Manifest, restorer: Restorer, pixels: np.ndarray, backend: str, progress: Progress
) -> tuple[StageError, ...]:
    trajectory = reference_trajectory(restorer, pixels, _noise_of(manifest))
    picture = picture_of(trajectory.restored, manifest.io)
    restored = picture if manifest.outputs[0].layout == "NHWC" else picture.transpose(2, 0, 1)
    expected = stages_of(trajectory) | {RESTORED: restored[None]}
    parts = {stage.name: stage.part for stage in restorer.spec.family.stages(restorer.spec)}
    return measure_stages(
        path,
        backend,
        manifest.stages,
        parts,
        expected,
        lambda session: session.run(feeds_of(session.inputs, pixels)),
        progress,
    )


def _drift(stage: StageSpec, actual: np.ndarray, expected: np.ndarray) -> StageDrift:
    latent = latent_of(actual, stage)
    if latent.shape != expected.shape or not np.isfinite(latent).all():
        return StageDrift(stage.name, float("inf"), True)
    difference = np.abs(latent - expected).max()
    relative = float(difference / np.abs(expected).max())
    return StageDrift(stage.name, relative, relative > STAGE_TOLERANCE)
