"""What an artifact of each precision must keep to count as the model."""

from __future__ import annotations

from dataclasses import dataclass

from elir_edge.imaging.comparison import Comparison

EXACT = "fp32"
FP32_MAX_ABS = 1e-4
ONE_LEVEL = 1.0 / 255 + 1e-9  # of bytes that were rounded


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
    if precision == EXACT:
        return Gate(max_abs=ONE_LEVEL if io == "uint8" else FP32_MAX_ABS)
    return GATES[precision]


INTEGER = Gate(psnr_db=40.0, mean_shift=0.5 / 255, mean_drop_db=0.2, worst_drop_db=0.5)
GATES = {
    "fp16": Gate(psnr_db=50.0),
    "bf16": Gate(psnr_db=40.0, mean_shift=0.5 / 255),
    "int8": INTEGER,
    "mixed": INTEGER,
}
