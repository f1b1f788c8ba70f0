"""How a session is to run: on which device, for short waits or for many pictures, in which arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from elir_edge.errors import UnavailableError, UsageError

CPU = "CPU"
HINTS = ("latency", "throughput")
ARITHMETICS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Mode:
    """``device`` as the runtime names it; ``hint`` latency or throughput; ``arithmetic`` of what is not int8.

    Raises UsageError for a hint or an arithmetic that is none.
    """

    device: str = CPU
    hint: str = "latency"
    arithmetic: str = "fp32"

    def __post_init__(self) -> None:
        for value, known in ((self.hint, HINTS), (self.arithmetic, ARITHMETICS)):
            if value not in known:
                raise UsageError(f"'{value}' is not one of {', '.join(known)}")

    def require_plain(self, backend: str) -> None:
        """Raise UnavailableError for a hint or an arithmetic that ``backend`` leaves no choice of."""
        if self.hint != "latency" or self.arithmetic != "fp32":
            raise UnavailableError(f"{backend} has no choice of hint or arithmetic: it computes what the graph holds")


DEFAULT_MODE = Mode()
