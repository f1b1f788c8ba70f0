"""Modes of a session: device, latency or throughput, arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from elir_edge.errors import UnavailableError, UsageError

CPU = "CPU"
HINTS = ("latency", "throughput")
ARITHMETICS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Mode:
    """``device``: the runtime's name of it. ``hint``: latency or throughput. ``arithmetic``: of ops that are not int8.

    Raises UsageError for an unknown hint or arithmetic.
    """

    device: str = CPU
    hint: str = "latency"
    arithmetic: str = "fp32"

    def __post_init__(self) -> None:
        for value, known in ((self.hint, HINTS), (self.arithmetic, ARITHMETICS)):
            if value not in known:
                raise UsageError(f"'{value}' is not one of {', '.join(known)}", hint="choose one of these")

    def require_plain(self, backend: str) -> None:
        """Raise UnavailableError unless hint and arithmetic are the defaults, the only ones that ``backend`` has."""
        if self.hint != "latency" or self.arithmetic != "fp32":
            raise UnavailableError(
                f"{backend} runs with the hint latency and the arithmetic of the graph only",
                hint="leave the mode out, or choose openvino",
            )


DEFAULT_MODE = Mode()
