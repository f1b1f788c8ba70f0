"""Whether the machine was quiet during a measurement."""

from __future__ import annotations

import time
from dataclasses import dataclass

from elir_edge.bench.machine import system_library
from elir_edge.bench.statistics import STABLE

IDLE = ("idle", "iowait")
COUNTED_ELSEWHERE = ("guest", "guest_nice")  # inside user and nice already


@dataclass(frozen=True)
class Noise:
    """Three measures of other load on the machine, each a share of 1.

    ``kernel``: spread of a fixed computation over the rounds; ``rows``: largest spread of a row's round medians;
    ``others``: share of the machine's processor time that other processes used (None: not known on this system).
    """

    kernel: float
    rows: float
    others: float | None

    @property
    def quiet(self) -> bool:
        """Whether two runs can be expected to agree within 5 % at the median."""
        return max(self.kernel, self.rows, self.others or 0.0) <= STABLE

    def verdict(self) -> str:
        """The measures as one sentence that starts with "quiet machine" or "NOISY machine"."""
        others = "" if self.others is None else f"; other processes took {self.others:.0%} of the processor"
        facts = f"over the rounds a fixed product varied by {self.kernel:.1%}, the worst row by {self.rows:.1%}{others}"
        if self.quiet:
            return f"quiet machine: {facts}"
        return f"NOISY machine: {facts}. Trust ratios more than figures, and measure again when it is idle"


class ProcessorClock:
    """Measures what share of all cores' time unrelated processes used since construction."""

    def __init__(self) -> None:
        self._start = _processor_time()
        self._own = time.process_time()
        self._counted: dict[int, float] = {}

    def include(self, pid: int) -> None:
        """Count the processor time of process ``pid`` as ours from now on."""
        self._counted[pid] = process_time(pid)

    def others(self) -> float | None:
        """Share of all cores' time, 0..1; None if the system does not report it.

        What an included process used is not known once it has ended: it counts as used by others.
        """
        end = _processor_time()
        if end[1] <= self._start[1]:
            return None
        busy, whole = end[0] - self._start[0], end[1] - self._start[1]
        counted = (max(0.0, process_time(pid) - at) for pid, at in self._counted.items())
        ours = time.process_time() - self._own + sum(counted)
        return min(1.0, max(0.0, busy - ours) / whole)


def process_time(pid: int) -> float:
    """Processor seconds of a running process; 0 if there is no such process or the system does not report them."""
    psutil = system_library()
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _processor_time() -> tuple[float, float]:
    """(busy, total) seconds of all cores since the system started."""
    times = system_library().cpu_times()._asdict()
    whole = sum(seconds for name, seconds in times.items() if name not in COUNTED_ELSEWHERE)
    return whole - sum(times.get(name, 0.0) for name in IDLE), whole
