"""Proving an artifact equal to the PyTorch model, or saying by how much it differs and where that began."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import Manifest
from elir_edge.artifacts.signature import RESTORED, StageSpec
from elir_edge.artifacts.tensors import feeds_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import UnavailableError, UsageError
from elir_edge.families.restorer import Restorer
from elir_edge.imaging.comparison import Comparison, compare, picture_psnr
from elir_edge.imaging.noise import NoiseContract
from elir_edge.imaging.pictures import PHOTOGRAPHS, builtin_photograph, fit_picture, pictures_in, read_picture
from elir_edge.quantize.calibration import task_of
from elir_edge.runtime.base import Session
from elir_edge.runtime.restore import run_picture
from elir_edge.runtime.session import open_session
from elir_edge.validation.gates import Gate, gate_for
from elir_edge.validation.reference import picture_of, reference_trajectory, stages_of
from elir_edge.validation.stages import StageError, measure_stages, weakest
from elir_edge.validation.trials import gather_trials

STAGE_TOLERANCE = 1e-4
EXACT = "fp32"


@dataclass(frozen=True)
class StageDrift:
    """How far a stage inside the artifact is from the model's, relative to the stage's largest value."""

    stage: str
    relative_max: float
    drifted: bool


@dataclass(frozen=True)
class Truth:
    """What is known of a picture whose original is: PSNR against it, in dB, of PyTorch fp32 and of the artifact."""

    reference_db: float
    artifact_db: float

    @property
    def drop_db(self) -> float:
        """What the artifact loses."""
        return self.reference_db - self.artifact_db


@dataclass(frozen=True)
class Validation:
    """An artifact held against its model on several pictures; ``truths`` where their originals are known.

    Of what happens inside, ``stages`` tells for fp32, ``errors`` for every other precision.
    """

    backend: str
    gate: Gate
    pictures: dict[str, Comparison]
    truths: dict[str, Truth] = field(default_factory=dict)
    stages: tuple[StageDrift, ...] = ()
    errors: tuple[StageError, ...] = ()

    @property
    def worst(self) -> str:
        """The picture that differs most."""
        return max(self.pictures, key=lambda name: self._badness(self.pictures[name]))

    @property
    def mean_drop_db(self) -> float | None:
        """Loss against the originals on average; None where they are not known."""
        return float(np.mean([truth.drop_db for truth in self.truths.values()])) if self.truths else None

    @property
    def worst_drop_db(self) -> float | None:
        """Loss on the picture that loses most; None where no original is known."""
        return max((truth.drop_db for truth in self.truths.values()), default=None)

    @property
    def worst_shift(self) -> tuple[float, float, float]:
        """The largest mean shift of each colour channel over all pictures, with its sign, in units of 1/255."""
        shifts = np.array([item.mean_shift for item in self.pictures.values()]) * 255
        red, green, blue = (float(channel[np.abs(channel).argmax()]) for channel in shifts.T)
        return red, green, blue

    @property
    def failures(self) -> tuple[str, ...]:
        """Every sentence that says why the gate holds it back."""
        named = [(name, self.gate.complaint(item)) for name, item in self.pictures.items()]
        found = [f"{name}: {complaint}" for name, complaint in named if complaint]
        for drop, allowed, which in (
            (self.mean_drop_db, self.gate.mean_drop_db, "on average"),
            (self.worst_drop_db, self.gate.worst_drop_db, "on the worst picture"),
        ):
            if drop is not None and allowed is not None and not drop <= allowed:
                found.append(f"{drop:.2f} dB lost against the ground truth {which}, allowed are {allowed:g}")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether the gate lets it through."""
        return not self.failures

    @property
    def drift_began(self) -> str | None:
        """The first stage that differs, in the order in which they run; None where none does.

        Where every latent is right and the picture is not, it began in the decoder. Below fp32 every stage differs:
        it is then, for an artifact that fails, the part that costs the picture most.
        """
        if self.errors:
            error = None if self.passed else weakest(self.errors)
            return error.part if error else None
        decoder = "decoder" if self.stages and not self.passed else None
        return next((stage.stage for stage in self.stages if stage.drifted), decoder)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        worst = self.pictures[self.worst]
        summary = {
            "passed": self.passed,
            "failures": self.failures,
            "worst": self.worst,
            "max_abs": worst.max_abs,
            "psnr_db": worst.psnr_db,
            "mean_drop_db": self.mean_drop_db,
            "worst_drop_db": self.worst_drop_db,
            "drift_began": self.drift_began,
            "worst_shift_255": self.worst_shift,
            "drop_db": {name: truth.drop_db for name, truth in self.truths.items()},
        }
        return summary | dataclasses.asdict(self)

    def _badness(self, item: Comparison) -> float:
        return item.max_abs if self.gate.psnr_db is None else -item.psnr_db


def validate(
    path: Path,
    manifest: Manifest,
    restorer: Restorer,
    pictures: Mapping[str, np.ndarray],
    backend: str | None = None,
    stages: bool = False,
    progress: Progress | None = None,
    originals: Mapping[str, np.ndarray] | None = None,
) -> Validation:
    """Run the artifact and the model on ``pictures`` (uint8 H x W x 3, fitted to the graph's size) and compare.

    ``originals`` are what ``pictures`` were before they were degraded, under the same names and of the graph's size.
    With ``stages``, or where the result fails, the stages inside are compared too, on the worst picture: for fp32 by
    how far they are from the model's, for other precisions by their error in dB, inherited and their own.
    """
    progress = progress or Silent()
    noise = NoiseContract(manifest.noise["mode"], manifest.noise["seed"])
    fitted = {name: fit_picture(pixels, *manifest.size) for name, pixels in pictures.items()}
    results, truths = {}, {}
    with open_session(path, backend) as session, progress.stage("comparing with PyTorch", len(fitted)) as advance:
        name = session.backend
        for label, pixels in fitted.items():
            expected = picture_of(reference_trajectory(restorer, pixels, noise).restored, manifest.io)
            actual = run_picture(session, pixels)
            results[label] = compare(actual, expected)
            if originals is not None and results[label].problem is None:
                truths[label] = Truth(*(picture_psnr(picture, originals[label]) for picture in (expected, actual)))
            advance(1)
    validation = Validation(name, gate_for(manifest.precision, manifest.io), results, truths)
    if stages or not validation.passed:
        try:
            pixels = fitted[validation.worst]
            if manifest.precision == EXACT:
                with progress.stage("comparing stages"):
                    drift = _stage_drift(path, manifest, restorer, pixels, noise, name)
                validation = dataclasses.replace(validation, stages=drift)
            else:
                errors = _stage_errors(path, manifest, restorer, pixels, noise, name, progress)
                validation = dataclasses.replace(validation, errors=errors)
        except UnavailableError as error:
            progress.note(f"note: the stages cannot be looked at here: {error}")
    return validation


def gather_pictures(source: Path | None, size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """The pictures of a folder, one file, or (None) the photographs that come with the package; fitted to ``size``."""
    if source is None:
        return {name: builtin_photograph(name) for name in PHOTOGRAPHS}
    paths = pictures_in(source) if source.is_dir() else [source]
    return {path.name: fit_picture(read_picture(path), *size) if size else read_picture(path) for path in paths}


def gather_judges(
    manifest: Manifest, source: Path | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """What an artifact is validated on, and the originals where what it loses against them means something.

    fp32 is compared on the pictures as they are, every other precision on pictures degraded as the model's task says:
    the one that it was calibrated for, else its spec's.
    """
    if manifest.precision == EXACT:
        return gather_pictures(source, manifest.size), None
    calibration = (manifest.quantization or {}).get("calibration", {})
    task = calibration.get("task") or task_of(manifest.model_spec())
    trials = gather_trials(task, *manifest.size, gather_pictures(source, manifest.size))
    return trials.degraded, trials.originals if manifest.trained else None


def check_same_weights(manifest: Manifest, restorer: Restorer) -> None:
    """Raise UsageError unless ``restorer`` has the weights that the artifact was made from."""
    stated = manifest.weights["tensors_sha256"]
    from elir_edge.families.weights import tensors_sha256

    if tensors_sha256(restorer.state_dict()) != stated:
        raise UsageError(
            f"these weights are not the ones the artifact was made from ({manifest.weights['name']})",
            hint="give the checkpoint it was exported from with --weights",
        )


def _stage_drift(
    path: Path, manifest: Manifest, restorer: Restorer, pixels: np.ndarray, noise: NoiseContract, backend: str | None
) -> tuple[StageDrift, ...]:
    expected = stages_of(reference_trajectory(restorer, pixels, noise))
    names = tuple(stage.name for stage in manifest.stages)
    with open_session(path, backend, stages=names) as session:
        actual = session.run(feeds_of(session.inputs, pixels))
    return tuple(_drift(stage, actual[stage.name], expected[stage.name]) for stage in manifest.stages)


def _stage_errors(
    path: Path,
    manifest: Manifest,
    restorer: Restorer,
    pixels: np.ndarray,
    noise: NoiseContract,
    backend: str,
    progress: Progress,
) -> tuple[StageError, ...]:
    trajectory = reference_trajectory(restorer, pixels, noise)
    picture = picture_of(trajectory.restored, manifest.io)
    restored = picture if manifest.outputs[0].layout == "NHWC" else picture.transpose(2, 0, 1)
    expected = stages_of(trajectory) | {RESTORED: restored[None]}
    parts = {stage.name: stage.part for stage in restorer.spec.family.stages(restorer.spec)}

    def run(session: Session) -> dict[str, np.ndarray]:
        return session.run(feeds_of(session.inputs, pixels))

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
    latent = actual.transpose(0, 3, 1, 2) if stage.layout == "NHWC" else actual
    if latent.shape != expected.shape or not np.isfinite(latent).all():
        return StageDrift(stage.name, float("inf"), True)
    difference = np.abs(latent / stage.gain - expected).max()
    relative = float(difference / np.abs(expected).max())
    return StageDrift(stage.name, relative, relative > STAGE_TOLERANCE)
