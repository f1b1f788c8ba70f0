"""How an integer precision is to be reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from elir_edge.quantize.calibration import CalibrationRequest


@dataclass(frozen=True)
class Quantization:
    """``calibration``: on which pictures. ``allow_degraded``: publish below the gate too, marked in the manifest."""

    calibration: CalibrationRequest = field(default_factory=CalibrationRequest)
    allow_degraded: bool = False

    def facts(self) -> dict[str, Any]:
        """What identifies the result besides the calibration pictures."""
        return {name: value for name, value in vars(self).items() if name != "calibration"}
