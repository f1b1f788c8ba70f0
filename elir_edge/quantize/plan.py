"""How an integer precision is to be reached."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.tune import TuneBudget


@dataclass(frozen=True)
class Limits:
    """What a mixed artifact keeps to: ``max_drop_db`` lost on average against the ground truth, ``max_size_mb`` of all
    its files, ``max_latency_ms`` a picture on the machine that exports. None asks for nothing.
    """

    max_drop_db: float | None = None
    max_size_mb: float | None = None
    max_latency_ms: float | None = None


DEFAULT_LIMITS = Limits(max_drop_db=0.1)


@dataclass(frozen=True)
class Quantization:
    """``calibration``: on which pictures. ``tune``: fit to the float output for so long; None for not at all.

    ``allow_degraded``: publish below the gate too, marked in the manifest. ``limits``: what ``mixed`` keeps to, None
    for 0.1 dB; other precisions have none.
    """

    calibration: CalibrationRequest = field(default_factory=CalibrationRequest)
    tune: TuneBudget | None = None
    allow_degraded: bool = False
    limits: Limits | None = None

    def facts(self) -> dict[str, Any]:
        """What identifies the result besides the calibration pictures."""
        budget = None if self.tune is None else dataclasses.asdict(self.tune)
        limits = None if self.limits is None else dataclasses.asdict(self.limits)
        return {"tune": budget, "allow_degraded": self.allow_degraded, "limits": limits}
