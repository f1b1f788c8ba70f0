"""The gate of an export: artifacts that differ from PyTorch by more than their precision allows are refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import Manifest
from elir_edge.artifacts.facts import NOT_COMPARED
from elir_edge.core.progress import Progress
from elir_edge.errors import GateError
from elir_edge.families.restorer import Restorer
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.pipeline.request import ExportRequest, version_of
from elir_edge.pipeline.target import Target
from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.levels import W8A16
from elir_edge.quantize.plan import Quantization
from elir_edge.runtime.backend import get_backend
from elir_edge.validation.reference import reconstruction_db
from elir_edge.validation.result import Validation
from elir_edge.validation.trials import gather_trials
from elir_edge.validation.validate import validate
from elir_edge.validation.verify import record_golden

PARITY_PICTURE = "astronaut"
SHOWN_FAILURES = 3
WAY_OUT_UNTUNED = "elir-edge sensitivity tells the tensors that cost it, --allow-degraded writes the artifact anyway"
WAYS_OUT = f"--tune MINUTES may reduce the error, {WAY_OUT_UNTUNED}"
OTHER_PICTURES = "other calibration pictures may help (--calibrate, --task)"


def why_not_run(target: Target) -> str | None:
    """Why this machine cannot run files of the format, as a sentence; None where its first backend can."""
    if not target.backends:
        return f"no backend here runs '{target.name}' files"
    return get_backend(target.backends[0]).why_not_here()


def judge_conversion(
    path: Path,
    manifest: Manifest,
    restorer: Restorer,
    request: ExportRequest,
    progress: Progress,
    convert_finer: Callable[[Mapping[str, Any]], Manifest],
) -> Manifest:
    """Validate the conversion at ``path`` and hold it to its gate; returns the manifest with the figures.

    While the gate fails, ``convert_finer`` writes the target's more accurate variant to ``path``, if it has one, and
    that is judged instead: it takes the facts of the one before. With degraded output allowed, only where the weights
    are trained, as stand-ins have no picture to keep, and no variant that brings in float ops. Where this machine
    cannot run the format, the manifest says so in place of figures. Raises GateError.
    """
    reason = why_not_run(request.target)
    if reason is not None:
        progress.note(f"note: not compared with PyTorch: {reason}")
        return dataclasses.replace(manifest, parity={NOT_COMPARED: reason})
    validation = validate_conversion(path, manifest, restorer, request, progress)
    worth = request.quantization is not None and (restorer.trained or not request.quantization.allow_degraded)
    integers = request.quantization is not None and request.quantization.allow_degraded
    finer_left = request.target.has_finer
    while worth and not validation.passed and finer_left(manifest.format, integers_only=integers):
        progress.note(f"note: {validation.failures[0]}; converting again in a more accurate, slower variant")
        manifest = convert_finer(manifest.format)
        validation = validate_conversion(path, manifest, restorer, request, progress)
    degraded = check_gate(validation, request.quantization, progress, request.precision)
    return with_bound(complete_manifest(path, manifest, validation, degraded), restorer)


def with_bound(manifest: Manifest, restorer: Restorer) -> Manifest:
    """``manifest`` with the PSNR of the autoencoder's own reconstruction of a photograph, where that bounds fidelity.

    Stand-in weights reconstruct nothing: they have no such figure.
    """
    if not restorer.trained:
        return manifest
    bound = reconstruction_db(restorer, fit_picture(builtin_photograph(PARITY_PICTURE), *manifest.size))
    if bound is None:
        return manifest
    return dataclasses.replace(manifest, parity=(manifest.parity or {}) | {"autoencoder_db": round(bound, 2)})


def validate_conversion(
    path: Path, manifest: Manifest, restorer: Restorer, request: ExportRequest, progress: Progress
) -> Validation:
    """Compare the file at ``path``, in the first backend of its target, with PyTorch on the pictures of the gate."""
    pictures, originals = pictures_of(restorer, request)
    backend = request.target.backends[0]
    return validate(path, manifest, restorer, pictures, backend=backend, progress=progress, originals=originals)


def ways_out_of(precision: str, calibration: CalibrationRequest) -> str:
    """What to do where an artifact of an integer precision misses its gate, for a hint.

    Pictures that the user chose may not be like those that the gate restores.
    """
    ways = WAY_OUT_UNTUNED if precision == W8A16 else WAYS_OUT
    chosen = calibration.folder is not None or calibration.task is not None
    return f"{OTHER_PICTURES}, {ways}" if chosen else ways


def check_gate(validation: Validation, quantization: Quantization | None, progress: Progress, precision: str) -> bool:
    """Whether the artifact misses its gate although that is allowed. Raises GateError where it is not allowed."""
    if validation.passed:
        return False
    began = f"; it began at {validation.drift_began}" if validation.drift_began else ""
    sentence = "; ".join(validation.failures[:SHOWN_FAILURES]) + began
    if quantization is not None and quantization.allow_degraded:
        progress.note(f"note: below the gate, and marked so in the manifest: {sentence}")
        return True
    ways = f"; {ways_out_of(precision, quantization.calibration)}" if quantization is not None else ""
    raise GateError(f"the artifact differs too much from PyTorch: {sentence}", hint=f"nothing was written{ways}")


def complete_manifest(path: Path, manifest: Manifest, validation: Validation, degraded: bool) -> Manifest:
    """Write the golden file beside ``path``; returns the manifest with the figures and the golden file's facts."""
    manifest = dataclasses.replace(manifest, parity=_parity(validation))
    manifest = dataclasses.replace(manifest, golden=record_golden(path, manifest, validation.backend))
    if manifest.quantization is not None:
        manifest = dataclasses.replace(manifest, quantization=manifest.quantization | {"degraded": degraded})
    return manifest


def pictures_of(
    restorer: Restorer, request: ExportRequest
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """Pictures to compare artifact and model on, and their originals; None where the gate has no use for them."""
    if request.calibration is None:
        return {PARITY_PICTURE: builtin_photograph(PARITY_PICTURE)}, None
    trials = gather_trials(request.calibration.facts["task"], request.form.height, request.form.width)
    return trials.degraded, trials.originals if restorer.trained else None


def _parity(validation: Validation) -> dict[str, Any]:
    worst = validation.pictures[validation.worst]
    truths = validation.truths.values()
    quality: dict[str, Any] = {
        "reference_db": round(float(np.mean([truth.reference_db for truth in truths])), 2),
        "mean_drop_db": round(validation.mean_drop_db or 0.0, 3),
        "worst_drop_db": round(validation.worst_drop_db or 0.0, 3),
    } if truths else {}  # fmt: skip
    if validation.drops_by_kind:
        quality["drop_by_kind_db"] = {kind: round(drop, 3) for kind, drop in validation.drops_by_kind.items()}
    return {
        "against": "PyTorch fp32",
        "backend": validation.backend,
        "backend_version": version_of(get_backend(validation.backend).package),
        "pictures": sorted(validation.pictures),
        "gate": dataclasses.asdict(validation.gate),
        "max_abs": _two_digits(worst.max_abs),
        "psnr_db": round(worst.psnr_db, 1),
        "mean_shift": [_two_digits(shift) for shift in worst.mean_shift],
    } | quality


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}") if math.isfinite(value) else value
