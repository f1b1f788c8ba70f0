"""Options of integer precisions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.tune import TuneBudget


@dataclass(frozen=True)
class Limits:
    """Limits of a mixed artifact; None is no limit.

    ``max_drop_db``: mean PSNR loss against the originals. ``max_size_mb``: of all files, in 10^6 bytes.
    ``max_latency_ms``: of one picture on the machine that exports.
    """

    max_drop_db: float | None = None
    max_size_mb: float | None = None
    max_latency_ms: float | None = None


DEFAULT_LIMITS = Limits(max_drop_db=0.1)


@dataclass(frozen=True)
class Quantization:
    """Options of an integer precision.

    ``calibration``: its pictures. ``tune``: budget of tuning to the float output; None: no tuning.
    ``allow_degraded``: publish an artifact that misses its gate, marked in the manifest. ``limits``: for ``mixed``
    only; None: a mean drop of 0.1 dB.
    """

    calibration: CalibrationRequest = field(default_factory=CalibrationRequest)
    tune: TuneBudget | None = None
    allow_degraded: bool = False
    limits: Limits | None = None

    def facts(self) -> dict[str, Any]:
        """What decides the result besides the calibration pictures, as plain data."""
        budget = None if self.tune is None else dataclasses.asdict(self.tune)
        limits = None if self.limits is None else dataclasses.asdict(self.limits)
        return {"tune": budget, "allow_degraded": self.allow_degraded, "limits": limits}
