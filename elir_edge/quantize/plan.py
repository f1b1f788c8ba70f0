"""How an integer precision is to be reached."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.tune import TuneBudget


@dataclass(frozen=True)
class Quantization:
    """``calibration``: on which pictures. ``tune``: fit to the float output for so long; None for not at all.

    ``allow_degraded``: publish below the gate too, marked in the manifest.
    """

    calibration: CalibrationRequest = field(default_factory=CalibrationRequest)
    tune: TuneBudget | None = None
    allow_degraded: bool = False

    def facts(self) -> dict[str, Any]:
        """What identifies the result besides the calibration pictures."""
        budget = None if self.tune is None else dataclasses.asdict(self.tune)
        return {"tune": budget, "allow_degraded": self.allow_degraded}
