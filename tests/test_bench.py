"""The harness: its arithmetic on hand-made samples, its figures against independent measures of the same thing."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elir_edge import export, load_restorer, open_session
from elir_edge.bench.measure import Contestant, Worker, measure
from elir_edge.bench.statistics import is_stable, latency_of, ratio_of
from tests.test_target_contract import SPEC


def test_latency_of_known_samples():
    latency = latency_of([0.1] * 90 + [0.2] * 10)
    assert (latency.p50, latency.least, latency.fps) == (0.1, 0.1, 10)
    assert latency.p99 == pytest.approx(0.2)
    assert latency.spread == pytest.approx(0)
    assert not latency.noisy
    assert latency_of([0.1, 0.2] * 20).noisy


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=60))
def test_percentiles_are_ordered_and_within_the_samples(samples):
    latency = latency_of(samples)
    assert min(samples) == latency.least
    assert latency.least <= latency.p50 * (1 + 1e-9)
    assert latency.p50 <= latency.p90 * (1 + 1e-9)
    assert latency.p90 <= latency.p99 * (1 + 1e-9)
    assert latency.p99 <= max(samples) * (1 + 1e-9)


def test_no_samples_is_an_error():
    with pytest.raises(ValueError, match="no samples"):
        latency_of([])


def test_warm_up_ends_when_two_rounds_agree():
    assert not is_stable([])
    assert not is_stable([1.0])
    assert not is_stable([2.0, 1.0])
    assert is_stable([2.0, 1.0, 1.04])


def test_a_drifting_machine_cancels_in_the_ratio():
    drift = np.linspace(1, 3, 10)
    low, median, high = ratio_of(list(2 * drift), list(drift))
    assert (low, median, high) == (pytest.approx(2), pytest.approx(2), pytest.approx(2))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return export(load_restorer(SPEC), "onnx", out=tmp_path_factory.mktemp("bench"))


def contestant(path, backend="onnxruntime", label="it"):
    return Contestant(label, {"path": str(path), "backend": backend, "threads": 1}, 1.0)


@pytest.mark.slow
def test_figures_agree_with_timing_by_hand(artifact):
    (row,) = measure([contestant(artifact.path)], rounds=4)
    with open_session(artifact.path, threads=1) as session:
        feeds = {"image": np.zeros(session.inputs[0].shape, np.float32)}
        seconds = []
        for _ in range(60):
            start = time.perf_counter()
            session.run(feeds)
            seconds.append(time.perf_counter() - start)
    assert 1 / 4 < row.latency.p50 / statistics.median(seconds[10:]) < 4
    assert row.cold_s > row.latency.p50
    assert row.ratio == (1, 1, 1)


@pytest.mark.slow
def test_peak_memory_is_what_the_kernel_says_of_the_process(artifact):
    ballast = np.ones(300_000_000, np.uint8)  # this process's own memory must not be counted as the child's
    worker = Worker(contestant(artifact.path))
    try:
        worker.round()
        status = Path(f"/proc/{worker._child.pid}/status")
        if not status.is_file():
            pytest.skip("no /proc on this system to measure by")
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        assert worker.peak_bytes == pytest.approx(int(peak.split()[1]) * 1024, rel=0.1)
        assert worker.peak_bytes < 280_000_000 < ballast.size
    finally:
        worker.close()


@pytest.mark.slow
def test_a_failing_row_is_told_and_the_others_go_on(artifact, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"not a model")
    bad, good = measure([contestant(damaged, label="bad"), contestant(artifact.path, label="good")], rounds=2)
    assert "damaged.onnx" in bad.error
    assert bad.latency is None
    assert good.error is None
    assert good.latency.fps > 0


@pytest.mark.slow
def test_the_command_times_artifacts_beside_pytorch(artifact):
    command = ["bench", str(artifact.path), "-b", "onnxruntime", "--rounds", "2", "--json"]
    result = subprocess.run([sys.executable, "-m", "elir_edge", *command], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    eager, ours = json.loads(result.stdout)
    assert eager["label"] == "PyTorch eager"
    assert ours["label"] == f"{artifact.path} in onnxruntime"
    assert (ours["parity"], ours["size_bytes"]) == ("equal", artifact.size_bytes)
    assert len(ours["rounds"]) == 2
    assert min(ours["fps"], eager["fps"], ours["peak_bytes"], ours["cold_s"]) > 0


@pytest.mark.slow
def test_a_worker_that_dies_is_a_row_with_an_error(artifact, monkeypatch):
    whole = Worker.warm_up

    def warm_up_and_die(worker):
        whole(worker)
        worker._child.kill()
        worker._child.wait()

    monkeypatch.setattr(Worker, "warm_up", warm_up_and_die)
    (row,) = measure([contestant(artifact.path)], rounds=2)
    assert "died" in row.error


def test_equal_labels_are_kept_apart(monkeypatch):
    class Fake:
        peak_bytes = 1

        def __init__(self, contestant):
            self.seconds = contestant.request["seconds"]
            self.greeting = {"load_s": 0, "first_s": self.seconds}

        def warm_up(self): ...

        def close(self): ...

        def round(self):
            return [self.seconds]

    monkeypatch.setattr("elir_edge.bench.measure.Worker", Fake)
    rows = measure([Contestant("same", {"seconds": s}, 1.0) for s in (0.4, 0.1)], rounds=2)
    assert [row.latency.p50 for row in rows] == [0.4, 0.1]
    assert rows[1].ratio == pytest.approx((4, 4, 4))
