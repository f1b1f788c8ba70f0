"""Comparing numbers: shape, type and finiteness first, then how far apart. NaN never passes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FP32_MAX_ABS = 1e-4
BYTE_LEVELS = 1.0
IDENTICAL_DB = 200.0


@dataclass(frozen=True)
class Comparison:
    """How ``actual`` differs from ``expected``, on the scale of 0..1.

    ``problem`` is a sentence where they cannot be compared at all, and the figures are then infinite (PSNR: zero).
    ``mean_shift`` is the mean difference of each colour channel.
    """

    max_abs: float
    p99_abs: float
    psnr_db: float
    mean_shift: tuple[float, float, float]
    problem: str | None = None


@dataclass(frozen=True)
class Gate:
    """What an artifact must keep to count as the model.

    For each picture: ``max_abs`` on the scale of 0..1, or a PSNR of ``psnr_db`` to PyTorch fp32, and a mean of each
    colour channel within ``mean_shift``. Over all: what may be lost against the ground truth, ``mean_drop_db`` on
    average and ``worst_drop_db`` on one picture.
    """

    max_abs: float | None = None
    psnr_db: float | None = None
    mean_shift: float = 0.1 / 255
    mean_drop_db: float | None = None
    worst_drop_db: float | None = None

    def passes(self, comparison: Comparison) -> bool:
        """Whether a comparison with PyTorch fp32 keeps to it; one with a problem never does."""
        return self.complaint(comparison) is None

    def complaint(self, comparison: Comparison) -> str | None:
        """What is wrong with a picture, in words; None where nothing is."""
        if comparison.problem is not None:
            return comparison.problem
        if self.psnr_db is not None and comparison.psnr_db < self.psnr_db:
            return f"{comparison.psnr_db:.1f} dB to PyTorch fp32, at least {self.psnr_db:g} are asked for"
        if self.max_abs is not None and comparison.max_abs > self.max_abs:
            return f"differs from PyTorch by {comparison.max_abs:.3g}, allowed is {self.max_abs:.3g}"
        shift = max(abs(channel) for channel in comparison.mean_shift)
        if shift > self.mean_shift:
            return f"colour shift of {shift * 255:.2f}/255, allowed is {self.mean_shift * 255:.2g}/255"
        return None

    def __str__(self) -> str:
        return f"{self.max_abs:.1e} max abs" if self.psnr_db is None else f"{self.psnr_db:g} dB"


def gate_for(precision: str, io: str = "float") -> Gate:
    """The gate of a precision: fp32 within 1e-4 (one level where bytes are rounded), the others by PSNR to fp32.

    Raises KeyError for a precision that has none.
    """
    if precision == "fp32":
        return Gate(max_abs=BYTE_LEVELS / 255 + 1e-9 if io == "uint8" else FP32_MAX_ABS)
    return GATES[precision]


INTEGER = Gate(psnr_db=40.0, mean_shift=0.5 / 255, mean_drop_db=0.2, worst_drop_db=0.5)
GATES = {
    "fp16": Gate(psnr_db=50.0),
    "bf16": Gate(psnr_db=40.0, mean_shift=0.5 / 255),
    "int8": INTEGER,
    "mixed": INTEGER,
}


def compare(actual: np.ndarray, expected: np.ndarray) -> Comparison:
    """Compare two pictures H x W x 3, float or uint8 alike; uint8 counts as 0..255, floats as 0..1."""
    problem = _problem(actual, expected)
    if problem:
        return Comparison(math.inf, math.inf, 0.0, (math.inf,) * 3, problem)
    scale = 255.0 if actual.dtype == np.uint8 else 1.0
    difference = (actual.astype(np.float64) - expected.astype(np.float64)) / scale
    magnitude = np.abs(difference)
    red, green, blue = (float(shift) for shift in difference.reshape(-1, 3).mean(0))
    return Comparison(
        float(magnitude.max()), float(np.quantile(magnitude, 0.99)), psnr_of(difference), (red, green, blue)
    )


def psnr_of(difference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB for a difference on the scale of 0..1; 200 where there is none, NaN for NaN."""
    mean_square = float(np.mean(np.square(difference)))
    return IDENTICAL_DB if mean_square == 0 else min(-10 * math.log10(mean_square), IDENTICAL_DB)


def _problem(actual: np.ndarray, expected: np.ndarray) -> str | None:
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    if actual.dtype != expected.dtype:
        return f"type {actual.dtype}, expected {expected.dtype}"
    for name, array in (("the artifact's", actual), ("the model's", expected)):
        if not np.isfinite(array).all():
            return f"{name} result holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite"
    return None
