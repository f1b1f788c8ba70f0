"""Run workers in turn: warm-up until stable, then rounds A B C A B C, so that drift of the machine cancels."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.bench.energy import EnergyMeter, find_energy_meter
from elir_edge.bench.machine import system_library
from elir_edge.bench.noise import Noise, ProcessorClock
from elir_edge.bench.peaks import Peaks
from elir_edge.bench.results import Row
from elir_edge.bench.statistics import is_stable, medians_of, ratio_of, relative_spread
from elir_edge.core.child import Child
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import DeviceError, ElirEdgeError, UnavailableError

MAX_WARM_UP = 12
ROUND_SECONDS = 0.5
DEFAULT_ROUNDS = 10
WORKER = "elir_edge.bench.worker:open_worker"
TOGETHER = 8
Absent = dict[tuple[str, str], DeviceError]


@dataclass(frozen=True)
class Contestant:
    """One thing to time: the worker's ``request``, and the ``row`` with the facts known before the measurement."""

    row: Row
    request: dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """Rows in the order of the contestants; ``restored``: the pictures of each, None if it failed."""

    rows: list[Row]
    restored: list[np.ndarray | None]
    noise: Noise
    peaks: dict[str, float]


class Worker:
    """A child process that runs one contestant on demand. Raises DataError if it fails or dies."""

    def __init__(self, contestant: Contestant) -> None:
        self._child = Child(WORKER, contestant.request, contestant.row.label)
        self.greeting = self._child.greeting
        self.peak_bytes: int = self.greeting["peak_bytes"]
        self.device_peak_bytes: int | None = None
        self.count = self._fitting(self.greeting["first_s"])

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def round(self) -> list[float]:
        """Run one round; returns the seconds per picture of each run."""
        answer = self._child.ask({"run": self.count})
        self.peak_bytes, self.device_peak_bytes = answer["peak_bytes"], answer["device_peak_bytes"]
        return [sample / self.greeting["pictures"] for sample in answer["samples"]]

    def warm_up(self) -> None:
        """Run rounds until two in a row agree; sets the runs per round, as many as fit in half a second."""
        medians: list[float] = []
        while len(medians) < MAX_WARM_UP and not is_stable(medians):
            medians.append(statistics.median(self.round()))
            self.count = self._fitting(medians[-1] * self.greeting["pictures"])

    def restore(self, pictures: np.ndarray) -> np.ndarray:
        """Restore pictures, uint8 N x H x W x 3; returns them as uint8, or float32 in 0..1."""
        with tempfile.TemporaryDirectory(prefix="elir-edge-bench-") as folder:
            given, restored = Path(folder) / "given.npy", Path(folder) / "restored.npy"
            np.save(given, pictures)
            self._child.ask({"restore": str(given), "to": str(restored)})
            return np.asarray(np.load(restored))

    def close(self) -> None:
        """Kill the child."""
        self._child.close()

    @staticmethod
    def _fitting(seconds: float) -> int:
        return max(1, round(ROUND_SECONDS / seconds))


@dataclass
class Entry:
    """One contestant with its worker, or the error that ended it."""

    contestant: Contestant
    meter: EnergyMeter
    worker: Worker | None = None
    rounds: list[list[float]] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    restored: np.ndarray | None = None
    error: ElirEdgeError | None = None

    def take_turn(self) -> None:
        """Add a round unless an error ended this contestant; an error now ends it."""
        if self.worker is None:
            return
        before = self.meter.read()
        try:
            samples = self.worker.round()
        except ElirEdgeError as error:
            self.worker, self.error = None, error
            return
        self.rounds.append(samples)
        joules = self.meter.between(before, self.meter.read())
        if joules is not None:
            self.joules.append(joules / (len(samples) * self.worker.greeting["pictures"]))

    def restore(self, pictures: np.ndarray) -> None:
        """Keep the restored pictures; an error ends this contestant."""
        if self.worker is None:
            return
        try:
            self.restored = self.worker.restore(pictures)
        except ElirEdgeError as error:
            self.worker, self.error = None, error

    def row(self, base: Entry) -> Row:
        """The measurements, with ratios to ``base``."""
        row = self.contestant.row
        if self.error is not None:
            absent = isinstance(self.error, UnavailableError)
            return dataclasses.replace(row, error=str(self.error), absent=absent)
        assert self.worker is not None
        greeting = self.worker.greeting
        both = base.rounds[-len(self.rounds) :] if base.error is None else []
        return dataclasses.replace(
            row,
            device=greeting["device"],
            device_name=greeting["device_name"],
            arithmetic=greeting["arithmetic"],
            cold={name: greeting[name] for name in ("import_s", "load_s", "first_s")},
            placement=greeting["placement"],
            peak_bytes=self.worker.peak_bytes,
            device_peak_bytes=self.worker.device_peak_bytes,
            rounds=self.rounds,
            ratio=ratio_of(medians_of(both), medians_of(self.rounds)) if both else None,
            energy_j=statistics.median(self.joules) if self.joules else None,
        )


def measure(
    contestants: Sequence[Contestant],
    rounds: int = DEFAULT_ROUNDS,
    progress: Progress | None = None,
    pictures: np.ndarray | None = None,
    threads: int | None = None,
) -> Measured:
    """Time all ``contestants`` in turn; one that fails becomes a row with its error, and the others go on.

    They run in groups of at most eight. The first contestant runs in every group: ratios compare rounds of the same
    group. At the end, all that have not failed restore ``pictures``, uint8 N x H x W x 3. ``threads``: of the matrix
    products that measure the machine's noise and peak. Raises UnavailableError if psutil is not installed.
    """
    system_library()  # said before the first worker is loaded where it is missing
    progress, meter = progress or Silent(), find_energy_meter()
    base, *others = [Entry(contestant, meter) for contestant in contestants]
    rows: list[Row] = []
    absent: Absent = {}
    shares: list[float | None] = []
    with ExitStack() as stack:
        with progress.stage("starting"):
            peaks = Peaks(threads)
        stack.callback(peaks.close)
        _enter(base, stack, progress, absent)
        for group in _groups(others):
            with ExitStack() as inner:
                for entry in group:
                    _enter(entry, inner, progress, absent)
                shares.append(_race([base, *group], rounds, progress, peaks))
                _restore(group, pictures, progress)
                rows += [entry.row(base) for entry in group]
        _restore([base], pictures, progress)
        rows.insert(0, base.row(base))
    spreads = [relative_spread(medians_of(row.rounds)) for row in rows if row.rounds]
    told = [share for share in shares if share is not None]
    noise = Noise(peaks.spread, max(spreads, default=0.0), max(told, default=None))
    return Measured(rows, [entry.restored for entry in (base, *others)], noise, peaks.best)


def _groups(entries: list[Entry]) -> Iterator[list[Entry]]:
    """The entries in groups of nearly equal size; one empty group if there are no entries."""
    count = max(1, -(-len(entries) // (TOGETHER - 1)))
    for i in range(count):
        yield entries[i * len(entries) // count : (i + 1) * len(entries) // count]


def _race(entries: list[Entry], rounds: int, progress: Progress, peaks: Peaks) -> float | None:
    """Run all rounds in turn; returns the share of processor time that other processes used, 0..1."""
    clock = ProcessorClock()
    for pid in [peaks.pid, *(entry.worker.pid for entry in entries if entry.worker)]:
        clock.include(pid)
    with progress.stage("measuring", rounds) as advance:
        for _ in range(rounds):
            peaks.round()
            for entry in entries:
                entry.take_turn()
            advance(1)
    return clock.others()


def _restore(entries: list[Entry], pictures: np.ndarray | None, progress: Progress) -> None:
    if pictures is None or not entries:
        return
    with progress.stage("restoring the same pictures in each", len(entries)) as advance:
        for entry in entries:
            entry.restore(pictures)
            advance(1)


def _enter(entry: Entry, stack: ExitStack, progress: Progress, absent: Absent) -> None:
    """Start the worker. A device that does not exist is not tried again; one that refuses this contestant is."""
    row = entry.contestant.row
    place = (row.backend, row.device)
    if place in absent:
        entry.error = absent[place]
        return
    with progress.stage(f"loading and warming up {row.label}"):
        try:
            worker = Worker(entry.contestant)
            stack.callback(worker.close)
            worker.warm_up()
            entry.worker = worker
        except ElirEdgeError as error:
            entry.error = error
            if isinstance(error, DeviceError):
                absent[place] = error
