"""Figures of the harness compared with independent ones: a timer, the kernel's count of memory."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from elir_edge import open_session
from elir_edge.bench.measure import WORKER, Contestant, Worker, measure
from elir_edge.bench.results import Row
from elir_edge.bench.statistics import latency_of
from elir_edge.core.child import Child, child_command, job_line
from elir_edge.errors import DataError, DeviceError, UnavailableError
from tests.helpers import child_environment
from tests.tiny import SPEC

RUSAGE_OF = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
print(os.wait4(child, 0)[2].ru_maxrss, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def artifact(tiny_artifact):
    return tiny_artifact("onnx")


def request_for(path, backend="onnxruntime", **mode):
    return {
        "kind": "artifact", "path": str(path), "backend": backend, "mode": mode, "size": [SPEC.size] * 2, "threads": 1,
    }  # fmt: skip


def contestant(path, label="it", **mode):
    row = Row(label, 1.0, str(path), "onnxruntime", mode.get("device", "CPU"))
    return Contestant(row, request_for(path, **mode))


@pytest.mark.slow
def test_figures_agree_with_timing_by_hand(artifact):
    (row,) = measure([contestant(artifact.path)], rounds=4, threads=1).rows
    with open_session(artifact.path, threads=1) as session:
        feeds = {"image": np.zeros(session.inputs[0].shape, np.float32)}
        seconds = []
        for _ in range(60):
            start = time.perf_counter()
            session.run(feeds)
            seconds.append(time.perf_counter() - start)
    assert 1 / 4 < row.latency.p50 / latency_of(seconds[10:]).p50 < 4
    assert sum(row.cold.values()) > row.latency.p50
    assert row.ratio == (1, 1, 1)


@pytest.mark.slow
def test_peak_memory_is_what_the_kernel_accounts_to_the_process(artifact):
    ballast = np.ones(300_000_000, np.uint8)  # this process's own memory must not be counted as the child's
    asked = job_line(WORKER, request_for(artifact.path), talk=True) + '{"run": 5}\n'
    done = subprocess.run(
        [sys.executable, "-S", "-c", RUSAGE_OF, *child_command()],
        input=asked, capture_output=True, text=True, env=child_environment(),
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])["answer"]["peak_bytes"]
    accounted = int(done.stderr.splitlines()[-1]) * 1024
    assert told == pytest.approx(accounted, rel=0.1)
    assert told < 280_000_000 < ballast.size


@pytest.mark.slow
def test_failing_and_absent_rows_are_told_and_the_others_go_on(artifact, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"not a model")
    bad, absent, again, good = measure(
        [
            contestant(damaged, "bad"),
            contestant(artifact.path, "absent", device="NoSuch"),
            contestant(artifact.path, "absent too", device="NoSuch"),
            contestant(artifact.path, "good"),
        ],
        rounds=2,
        threads=1,
    ).rows
    assert (bad.status, absent.status, again.status) == ("failed", "absent", "absent")
    assert "damaged.onnx" in bad.error
    assert "no execution provider NoSuch" in absent.error
    assert bad.latency is None
    assert good.error is None
    assert good.ratio is None
    assert good.latency.fps > 0


@pytest.mark.slow
def test_a_worker_that_dies_is_a_row_with_an_error(artifact, monkeypatch):
    whole = Worker.warm_up

    def warm_up_and_die(worker):
        whole(worker)
        os.kill(worker.pid, signal.SIGKILL)

    monkeypatch.setattr(Worker, "warm_up", warm_up_and_die)
    (row,) = measure([contestant(artifact.path)], rounds=2, threads=1).rows
    assert "died" in row.error


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc on this system to see it by")
def test_a_child_stands_still_until_it_is_asked(artifact):
    child = Child(WORKER, request_for(artifact.path), "it")
    try:
        while "T (stopped)" not in Path(f"/proc/{child.pid}/status").read_text():
            time.sleep(0.01)
        assert len(child.ask({"run": 3})["samples"]) == 3
        with pytest.raises(DataError, match="it: "):
            child.ask({"run": "many"})
    finally:
        child.close()


class FakeWorker:
    """Reports the seconds in its contestant's request; ``turns`` records the order of the rounds."""

    pid = 0
    peak_bytes = device_peak_bytes = 1
    turns: ClassVar[list[str]] = []
    alive = most_alive = 0

    def __init__(self, contestant):
        self.seconds, self.label = contestant.request["seconds"], contestant.row.label
        self.greeting = {
            "import_s": 0, "load_s": 0, "first_s": self.seconds, "device": "CPU", "arithmetic": "fp32", "pictures": 1,
            "placement": {}, "device_name": None,
        }  # fmt: skip
        FakeWorker.alive += 1
        FakeWorker.most_alive = max(FakeWorker.most_alive, FakeWorker.alive)

    def warm_up(self): ...

    def close(self):
        FakeWorker.alive -= 1

    def restore(self, pictures):
        return pictures + self.seconds

    def round(self):
        FakeWorker.turns.append(self.label)
        return [self.seconds]


class FakePeaks:
    pid, spread, best = 0, 0.0, None

    def __init__(self, threads): ...

    def round(self): ...

    def close(self): ...


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr("elir_edge.bench.measure.Worker", FakeWorker)
    monkeypatch.setattr("elir_edge.bench.measure.Peaks", FakePeaks)
    FakeWorker.turns, FakeWorker.alive, FakeWorker.most_alive = [], 0, 0


def fake_contestants(*seconds, label="same"):
    return [Contestant(Row(label, 1.0), {"seconds": s}) for s in seconds]


def test_equal_labels_are_kept_apart(fakes):
    found = measure(fake_contestants(0.4, 0.1), rounds=2, pictures=np.zeros(2))
    assert [row.latency.p50 for row in found.rows] == [0.4, 0.1]
    assert found.rows[1].ratio == pytest.approx((4, 4, 4))
    assert [made[0] for made in found.restored] == [0.4, 0.1]


def test_rows_take_turns_and_the_first_meets_every_group(fakes):
    contestants = [Contestant(Row(f"row {i}", 1.0), {"seconds": 0.1 * (i + 1)}) for i in range(12)]
    found = measure(contestants, rounds=2)
    assert [row.label for row in found.rows] == [item.row.label for item in contestants]
    assert FakeWorker.turns[:12] == [f"row {i}" for i in range(6)] * 2
    assert FakeWorker.turns[12:14] == ["row 0", "row 6"]
    assert FakeWorker.most_alive <= 8
    assert FakeWorker.alive == 0
    assert found.rows[11].ratio == pytest.approx((1 / 12,) * 3)
    assert len(found.rows[0].rounds) == 4


def test_only_a_device_that_does_not_exist_is_not_tried_again(fakes, monkeypatch):
    tried = []

    class Refusing(FakeWorker):
        def __init__(self, contestant):
            tried.append(contestant.row.label)
            if "error" in contestant.request:
                raise contestant.request["error"]
            super().__init__(contestant)

    def on(device, label, **more):
        return Contestant(Row(label, 1.0, backend="litert", device=device), {"seconds": 0.1} | more)

    monkeypatch.setattr("elir_edge.bench.measure.Worker", Refusing)
    rows = measure([
        on("CPU", "base"),
        on("GPU", "split", error=UnavailableError("split artifacts run on the CPU only")),
        on("GPU", "whole"),
        on("NPU", "first", error=DeviceError("no such device")),
        on("NPU", "second"),
    ], rounds=2).rows  # fmt: skip
    assert tried == ["base", "split", "whole", "first"]
    assert [row.status for row in rows] == ["unchecked", "absent", "unchecked", "absent", "absent"]
    assert rows[4].error == "no such device"
