"""Gates: how much an artifact of each precision may differ from the PyTorch model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from elir_edge.imaging.comparison import Comparison

EXACT = "fp32"
FP32_MAX_ABS = 1e-4
ONE_LEVEL = 1.0 / 255 + 1e-9  # one step of rounded bytes
VISIBLE_DB = 40.0  # a root mean square error of 2.55/255: the same distance that int8 may have to PyTorch


@dataclass(frozen=True)
class Gate:
    """Conditions of equality with PyTorch fp32; None is no condition. Values on the scale of 0..1.

    For each picture: absolute difference <= ``max_abs``, PSNR >= ``psnr_db``, mean difference of each colour channel
    <= ``mean_shift``. PSNR loss against the originals <= ``mean_drop_db`` on average, over all pictures and over each
    kind of them (see ``kind_of``), and <= ``worst_drop_db`` on each, where a PSNR above ``VISIBLE_DB`` counts as
    ``VISIBLE_DB``: on clean pictures fp32 reaches 50 dB, and 1 dB less cannot be seen there.
    """

    max_abs: float | None = None
    psnr_db: float | None = None
    mean_shift: float = 0.1 / 255
    mean_drop_db: float | None = None
    worst_drop_db: float | None = None

    def passes(self, comparison: Comparison) -> bool:
        """Whether the conditions for one picture are met; never where the pictures cannot be compared."""
        return self.complaint(comparison) is None

    def complaint(self, comparison: Comparison) -> str | None:
        """The first condition that one picture does not meet, as a sentence; None where all are met."""
        if comparison.problem is not None:
            return comparison.problem
        if self.psnr_db is not None and comparison.psnr_db < self.psnr_db:
            return f"{comparison.psnr_db:.1f} dB to PyTorch fp32, the gate is at least {self.psnr_db:g}"
        if self.max_abs is not None and comparison.max_abs > self.max_abs:
            return f"differs from PyTorch by {comparison.max_abs:.3g}, allowed is {self.max_abs:.3g}"
        shift = max(abs(channel) for channel in comparison.mean_shift)
        if shift > self.mean_shift:
            return f"colour shift of {shift * 255:.2f}/255, allowed is {self.mean_shift * 255:.2g}/255"
        return None

    def __str__(self) -> str:
        return f"{self.max_abs:.1e} max abs" if self.psnr_db is None else f"{self.psnr_db:g} dB"


def gate_for(precision: str, io: str = "float") -> Gate:
    """The gate of ``precision``. fp32: 1e-4, or one level for io ``uint8``; others: a PSNR to fp32.

    Raises KeyError for an unknown precision.
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
    "w8a16": dataclasses.replace(INTEGER, psnr_db=50.0),
}
