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
        command = [sys.executable, "-m", "elir_edge.bench.worker", json.dumps(contestant.request)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.greeting = self._answer()
        self.peak_bytes = self.greeting["peak_bytes"]
        self.count = max(1, round(ROUND_SECONDS / self.greeting["first_s"]))

    def round(self) -> list[float]:
        """Seconds of each picture of one round. Raises DataError where the worker fails or dies."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{self.count}\n")
        self._child.stdin.flush()
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
        workers, failed = _start(contestants, stack, progress)
        times: dict[str, list[list[float]]] = {label: [] for label in workers}
        with progress.stage("measuring", rounds) as advance:
            for _ in range(rounds):
                for label, worker in list(workers.items()):
                    try:
                        times[label].append(worker.round())
                    except DataError as error:
                        failed[label] = str(error)
                        del workers[label]
                advance(1)
        return [_row(contestant, workers, times, failed, contestants[0].label) for contestant in contestants]


def _start(
    contestants: Sequence[Contestant], stack: ExitStack, progress: Progress
) -> tuple[dict[str, Worker], dict[str, str]]:
    workers, failed = {}, {}
    for contestant in contestants:
        with progress.stage(f"loading and warming up {contestant.label}"):
            try:
                worker = Worker(contestant)
                stack.callback(worker.close)
                worker.warm_up()
                workers[contestant.label] = worker
            except DataError as error:
                failed[contestant.label] = str(error)
    return workers, failed


def _row(
    contestant: Contestant,
    workers: dict[str, Worker],
    times: dict[str, list[list[float]]],
    failed: dict[str, str],
    base: str,
) -> Row:
    row = Row(contestant.label, contestant.gflop, contestant.size_bytes)
    if contestant.label in failed:
        return dataclasses.replace(row, error=failed[contestant.label])
    worker, rounds = workers[contestant.label], times[contestant.label]
    greeting = worker.greeting
    ratio = None
    if base in workers:
        medians = ([statistics.median(samples) for samples in times[name]] for name in (base, contestant.label))
        ratio = ratio_of(*medians)
    cold = greeting["load_s"] + greeting["first_s"]
    return dataclasses.replace(row, cold_s=cold, peak_bytes=worker.peak_bytes, rounds=rounds, ratio=ratio)
