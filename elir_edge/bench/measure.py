"""Running workers in turn: warm-up until stable, then rounds A B C A B C, so that drift of the machine cancels."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from elir_edge.bench.statistics import Latency, is_stable, latency_of, ratio_of
from elir_edge.errors import DataError
from elir_edge.progress import Progress, Silent

MAX_WARM_UP = 12
ROUND_SECONDS = 0.5
DEFAULT_ROUNDS = 10


@dataclass(frozen=True)
class Contestant:
    """What is timed: a ``label``, the worker's ``request``, and facts to report with it."""

    label: str
    request: dict[str, Any]
    gflop: float
    size_bytes: int | None = None


@dataclass(frozen=True)
class Row:
    """What was measured of one contestant; ``error`` where it failed, and the figures are then missing.

    ``rounds`` holds the raw samples in seconds, a list for each round; ``ratio`` the quartiles of how many times as
    fast as the first row it is; ``cold_s`` loading, compiling and the first picture.
    """

    label: str
    gflop: float
    size_bytes: int | None = None
    cold_s: float | None = None
    peak_bytes: int | None = None
    rounds: list[list[float]] = field(default_factory=list)
    ratio: tuple[float, float, float] | None = None
    error: str | None = None

    @property
    def latency(self) -> Latency | None:
        """Figures over all rounds, None where there are none."""
        samples = [sample for samples in self.rounds for sample in samples]
        return latency_of(samples) if samples else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, figures and raw samples."""
        latency = self.latency
        figures = {} if latency is None else dataclasses.asdict(latency) | {"fps": latency.fps, "noisy": latency.noisy}
        return dataclasses.asdict(self) | figures


class Worker:
    """A child process that runs one contestant on demand."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        command = [sys.executable, "-P", "-m", "elir_edge.bench.worker", json.dumps(contestant.request)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.greeting = self._answer()
        self.peak_bytes = self.greeting["peak_bytes"]
        self.count = max(1, round(ROUND_SECONDS / self.greeting["first_s"]))

    def round(self) -> list[float]:
        """Seconds of each picture of one round. Raises DataError where the worker fails or dies."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(f"{self.count}\n")
            self._child.stdin.flush()
        except OSError as error:
            raise DataError(f"{self.contestant.label}: its process died (status {self._child.wait()})") from error
        answer = self._answer()
        self.peak_bytes = answer["peak_bytes"]
        return list(answer["samples"])

    def warm_up(self) -> None:
        """Rounds until two in a row agree, and as many pictures a round as half a second holds."""
        medians: list[float] = []
        while len(medians) < MAX_WARM_UP and not is_stable(medians):
            medians.append(statistics.median(self.round()))
            self.count = max(1, round(ROUND_SECONDS / medians[-1]))

    def close(self) -> None:
        """End the child."""
        self._child.kill()
        self._child.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise DataError(f"{self.contestant.label}: its process died (status {self._child.wait()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DataError(f"{self.contestant.label}: {answer['error']}")
        return answer


def measure(
    contestants: Sequence[Contestant], rounds: int = DEFAULT_ROUNDS, progress: Progress | None = None
) -> list[Row]:
    """Time all ``contestants``, taking turns; a failing one becomes a row with its error, and the others go on."""
    progress = progress or Silent()
    with ExitStack() as stack:
        entries = [_enter(contestant, stack, progress) for contestant in contestants]
        with progress.stage("measuring", rounds) as advance:
            for _ in range(rounds):
                for entry in entries:
                    entry.take_turn()
                advance(1)
        return [entry.row(entries[0]) for entry in entries]


class Entry:
    """One contestant in the running, or the reason why it is out."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.worker: Worker | None = None
        self.rounds: list[list[float]] = []
        self.error: str | None = None

    def take_turn(self) -> None:
        """Add a round, unless it is out; a failure puts it out."""
        if self.worker is None:
            return
        try:
            self.rounds.append(self.worker.round())
        except DataError as error:
            self.worker, self.error = None, str(error)

    def row(self, base: Entry) -> Row:
        """What was measured, in relation to ``base``."""
        contestant = self.contestant
        row = Row(contestant.label, contestant.gflop, contestant.size_bytes, error=self.error)
        if self.worker is None:
            return row
        ratio = ratio_of(base.medians(), self.medians()) if base.worker is not None else None
        cold = self.worker.greeting["load_s"] + self.worker.greeting["first_s"]
        peak = self.worker.peak_bytes
        return dataclasses.replace(row, cold_s=cold, peak_bytes=peak, rounds=self.rounds, ratio=ratio)

    def medians(self) -> list[float]:
        """The median of each round, in seconds."""
        return [statistics.median(samples) for samples in self.rounds]


def _enter(contestant: Contestant, stack: ExitStack, progress: Progress) -> Entry:
    entry = Entry(contestant)
    with progress.stage(f"loading and warming up {contestant.label}"):
        try:
            worker = Worker(contestant)
            stack.callback(worker.close)
            worker.warm_up()
            entry.worker = worker
        except DataError as error:
            entry.error = str(error)
    return entry
