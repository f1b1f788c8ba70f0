"""Running a reader on many damaged files, whatever that does to the process it runs in."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.readers import READERS
from tests.helpers import PACKAGE_ROOT, child_environment

HANG_SECONDS = 10.0  # of processor time
SILENT_SECONDS = 120.0  # of the clock, which also runs while other processes have the processor
FIRST_WORDS_SECONDS = 600.0  # libraries are loaded
GOOD = ("read", "refused", "memory")


@dataclass
class Outcomes:
    """How many runs of ``target`` ended how; ``faults`` are those that should not be, by number and words."""

    target: str
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, number: int, what: str, detail: str, seconds: float) -> None:
        """Count one run."""
        what = "HANG" if seconds > HANG_SECONDS else what
        self.counts[what] += 1
        self.slowest = max(self.slowest, seconds)
        if what not in GOOD and not (what == "crash" and READERS[self.target].native):
            self.faults.append(f"{self.target} {number}: {what}: {detail}")


def run_campaign(target: str, runs: int, seed: int = 0, first: int = 0) -> Outcomes:
    """Read ``runs`` damaged files; a process that dies or does not answer is counted, and the next one goes on."""
    outcomes = Outcomes(target)
    number, last = first, first + runs
    while number < last:
        number = _run_worker(outcomes, seed, number, last)
    return outcomes


def _run_worker(outcomes: Outcomes, seed: int, first: int, last: int) -> int:
    """Let one process go as far as it gets; returns the number of the next run."""
    command = [sys.executable, "-m", "tests.fuzz.worker", outcomes.target, str(seed), str(first), str(last)]
    number = first
    with subprocess.Popen(
        command, cwd=PACKAGE_ROOT, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None and worker.stderr is not None
        while number < last:
            silence = SILENT_SECONDS if number > first else FIRST_WORDS_SECONDS
            if not select.select([worker.stdout], [], [], silence)[0]:
                worker.kill()
                outcomes.add(number, "HANG", f"no answer within {silence:g} s", silence)
                return number + 1
            line = worker.stdout.readline()
            if not line:
                return _count_death(outcomes, worker, number, number == first)
            outcomes.add(**json.loads(line))
            number += 1
    return number


def _count_death(outcomes: Outcomes, worker: subprocess.Popen[bytes], number: int, at_once: bool) -> int:
    assert worker.stderr is not None
    said = worker.stderr.read().decode(errors="replace").strip()[-300:]
    status = worker.wait()
    if status == 1 and at_once:  # a Python error before the first run
        raise RuntimeError(f"{outcomes.target}: the worker does not start: {said}")
    outcomes.add(number, "crash", f"status {status}: {said}", 0.0)
    return number + 1


def table(found: list[Outcomes]) -> str:
    """Markdown: a row a reader."""
    heads = ["reader", "runs", "read", "refused", "no memory", "crash in the child", "faults", "slowest, s of CPU"]
    rows = [
        [
            item.target, item.counts.total(), item.counts["read"], item.counts["refused"], item.counts["memory"],
            item.counts["crash"] if READERS[item.target].native else "-", len(item.faults), f"{item.slowest:.2f}",
        ]
        for item in found
    ]  # fmt: skip
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (heads, ["---"] * len(heads), *rows)) + "\n"


def save(found: list[Outcomes], path: Path) -> None:
    """The table, and each fault below it."""
    path.write_text(table(found) + "".join(f"\n- {fault}" for item in found for fault in item.faults))
