"""The pictures that every row restores, and what its results are worth against PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elir_edge.bench.results import OK, WRONG, Judgement
from elir_edge.images import PHOTOGRAPHS, builtin_photograph, fit_picture
from elir_edge.parity import compare, gate_for, psnr_of
from elir_edge.spec import ModelSpec

MILD_NOISE = 25.0


@dataclass(frozen=True)
class Scene:
    """``names`` of N photographs; ``originals`` and ``degraded`` are uint8 N x H x W x 3; ``degradation`` in words."""

    names: tuple[str, ...]
    originals: np.ndarray
    degraded: np.ndarray
    degradation: str


def make_scene(spec: ModelSpec, size: tuple[int, int]) -> Scene:
    """The photographs that come with the package at ``size``, degraded as the model's task says; the same each time.

    A model whose name is no task of ``elir-edge degrade`` gets noise of 25/255.
    """
    from elir_edge.training.degradations import DEGRADATIONS
    from elir_edge.training.pixels import add_noise

    task = DEGRADATIONS.get(spec.name)
    originals = [fit_picture(builtin_photograph(name), *size) for name in PHOTOGRAPHS]
    generators = [np.random.default_rng(i) for i in range(len(originals))]
    degraded = [
        task.apply(original, rng) if task else add_noise(original, MILD_NOISE, rng)
        for original, rng in zip(originals, generators, strict=True)
    ]
    words = task.line if task else f"Gaussian noise of {MILD_NOISE:g}/255"
    return Scene(PHOTOGRAPHS, np.stack(originals), np.stack(degraded), words)


def judge(restored: np.ndarray, expected: np.ndarray, scene: Scene, computes_in: str) -> Judgement:
    """Hold ``restored`` (N x H x W x 3, float in 0..1 or uint8) against ``expected``, PyTorch's, float."""
    io = "uint8" if restored.dtype == np.uint8 else "float"
    gate = gate_for(computes_in, io)
    targets = to_bytes(expected) if io == "uint8" else expected
    found = [compare(actual, target) for actual, target in zip(restored, targets, strict=True)]
    passed = all(gate.passes(item) for item in found)
    quality = _quality(restored, scene) if all(item.problem is None for item in found) else None
    drop = None if quality is None else _quality(expected, scene) - quality
    return Judgement(
        OK if passed else WRONG,
        str(gate),
        max(item.max_abs for item in found),
        min(item.psnr_db for item in found),
        quality,
        drop,
        next((item.problem for item in found if item.problem), None),
    )


def to_bytes(pictures: np.ndarray) -> np.ndarray:
    """Float 0..1 or uint8 -> uint8; NaN becomes black."""
    if pictures.dtype == np.uint8:
        return pictures
    return np.rint(np.nan_to_num(pictures) * np.float32(255)).clip(0, 255).astype(np.uint8)


def _quality(restored: np.ndarray, scene: Scene) -> float:
    """Mean PSNR against the originals, of pictures as they would be saved."""
    differences = (to_bytes(restored).astype(np.float64) - scene.originals) / 255
    return float(np.mean([psnr_of(difference) for difference in differences]))
