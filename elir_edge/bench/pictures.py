"""The pictures that every row restores, and the comparison of its results with PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elir_edge.bench.results import OK, WRONG, Judgement
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.comparison import compare, psnr_of
from elir_edge.imaging.pictures import PHOTOGRAPHS, builtin_photograph, fit_picture
from elir_edge.imaging.pixels import add_noise, to_uint8

MILD_NOISE = 25.0


@dataclass(frozen=True)
class Scene:
    """``names`` of N photographs; ``originals`` and ``degraded`` are uint8 N x H x W x 3; ``degradation`` in words."""

    names: tuple[str, ...]
    originals: np.ndarray
    degraded: np.ndarray
    degradation: str


def make_scene(spec: ModelSpec, size: tuple[int, int]) -> Scene:
    """The package's photographs at ``size`` (height, width), degraded for the model's task; the same on every call.

    A model whose name is no task of ``elir-edge degrade`` gets noise of 25/255.
    """
    from elir_edge.imaging.degradations import DEGRADATIONS

    task = DEGRADATIONS.get(spec.name)
    originals = [fit_picture(builtin_photograph(name), *size) for name in PHOTOGRAPHS]
    generators = [np.random.default_rng(i) for i in range(len(originals))]
    degraded = [
        task.apply(original, rng) if task else add_noise(original, MILD_NOISE, rng)
        for original, rng in zip(originals, generators, strict=True)
    ]
    words = task.line if task else f"Gaussian noise of {MILD_NOISE:g}/255"
    return Scene(PHOTOGRAPHS, np.stack(originals), np.stack(degraded), words)


def judge(
    restored: np.ndarray, expected: np.ndarray, scene: Scene, computes_in: str, trained: bool = True
) -> Judgement:
    """Compare ``restored`` (N x H x W x 3, float in 0..1 or uint8) with PyTorch's pictures ``expected`` (float).

    The gate is that of ``validate``; its PSNR loss against the originals is checked only for ``trained`` weights.
    """
    from elir_edge.validation.gates import gate_for
    from elir_edge.validation.result import Truth, Validation

    io = "uint8" if restored.dtype == np.uint8 else "float"
    targets = to_bytes(expected) if io == "uint8" else expected
    found = {name: compare(actual, target) for name, actual, target in zip(scene.names, restored, targets, strict=True)}
    comparable = all(item.problem is None for item in found.values())
    truths = {}
    if comparable:
        pairs = zip(_against_originals(expected, scene), _against_originals(restored, scene), strict=True)
        truths = {name: Truth(*pair) for name, pair in zip(scene.names, pairs, strict=True)}
    validation = Validation("", gate_for(computes_in, io), found, truths if trained else {})
    return Judgement(
        OK if validation.passed else WRONG,
        str(validation.gate),
        max(item.max_abs for item in found.values()),
        min(item.psnr_db for item in found.values()),
        float(np.mean([truth.artifact_db for truth in truths.values()])) if truths else None,
        float(np.mean([truth.drop_db for truth in truths.values()])) if truths else None,
        "; ".join(validation.failures) or None,
    )


def to_bytes(pictures: np.ndarray) -> np.ndarray:
    """Pictures, float in 0..1 or uint8 -> uint8; NaN becomes 0."""
    if pictures.dtype == np.uint8:
        return pictures
    return to_uint8(np.nan_to_num(pictures) * np.float32(255))


def _against_originals(pictures: np.ndarray, scene: Scene) -> list[float]:
    """PSNR in dB of each picture, rounded to uint8, to its original."""
    differences = (to_bytes(pictures).astype(np.float64) - scene.originals) / 255
    return [psnr_of(difference) for difference in differences]
