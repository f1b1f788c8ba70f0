"""Parts of the harness: energy counters, processor time, names of PyTorch's forms, comparison of pictures."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from elir_edge.bench import noise
from elir_edge.bench.energy import find_energy_meter
from elir_edge.bench.machine import describe_machine, machine_facts
from elir_edge.bench.noise import ProcessorClock, process_time
from elir_edge.bench.pictures import judge, make_scene
from elir_edge.bench.sweep import Plan, parse_mode
from elir_edge.bench.variant import ON_CPU, ON_CUDA, TorchVariant
from elir_edge.errors import UsageError
from elir_edge.runtime.mode import Mode
from tests.helpers import refusal


def zone(folder, name, kind, microjoules, limit=1000):
    path = folder / name
    path.mkdir()
    for file, value in (("name", kind), ("energy_uj", microjoules), ("max_energy_range_uj", limit)):
        (path / file).write_text(f"{value}\n")
    return path


def test_energy_is_summed_over_packages_and_survives_a_counter_that_wraps(tmp_path):
    one = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    two = zone(tmp_path, "intel-rapl:1", "package-1", 900)
    zone(tmp_path, "intel-rapl:0:0", "dram", 5)
    zone(tmp_path, "intel-rapl:2", "psys", 5)
    meter = find_energy_meter(tmp_path)
    start = meter.read()
    (one / "energy_uj").write_text("150\n")
    (two / "energy_uj").write_text("50\n")
    assert meter.between(start, meter.read()) == pytest.approx(200e-6)


def test_no_counters_are_told(tmp_path):
    meter = find_energy_meter(tmp_path)
    assert meter.read() is None
    assert meter.between(None, None) is None
    assert "no RAPL" in meter.reason


@pytest.mark.parametrize("file, text", [
    ("energy_uj", None), ("energy_uj", ""), ("energy_uj", "none"), ("max_energy_range_uj", None),
])  # fmt: skip
def test_a_zone_without_a_readable_number_is_told(tmp_path, file, text):
    place = zone(tmp_path, "intel-rapl:0", "package-0", 100) / file
    place.unlink()
    if text is not None:
        place.write_text(text)
    meter = find_energy_meter(tmp_path)
    assert meter.read() is None
    assert "no number that can be read" in meter.reason


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="no /proc on this system")  # noqa: PTH110
def test_the_clock_knows_our_processes_from_others():
    spin = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(spin) as child:
        try:
            counted, blind = ProcessorClock(), ProcessorClock()
            counted.include(child.pid)
            while process_time(child.pid) < 0.5:
                time.sleep(0.05)
            assert blind.others() - counted.others() > 0.05
        finally:
            child.kill()
    assert process_time(child.pid) == 0


def test_a_process_that_ended_makes_no_noise(monkeypatch):
    """What it used before it was counted was taken from what is ours."""
    monkeypatch.setattr(noise, "_processor_time", iter([(0.0, 0.0), (10.0, 100.0)]).__next__)
    seconds = iter([1000.0, 0.0])  # alive, then gone
    monkeypatch.setattr(noise, "process_time", lambda pid: next(seconds))
    clock = ProcessorClock()
    clock.include(1)
    assert 0.05 < clock.others() <= 0.1


def test_forms_of_pytorch_by_name():
    assert TorchVariant.parse("eager") == TorchVariant()
    whole = TorchVariant.parse("compile+bf16+channels_last+cuda+graphs")
    assert whole == TorchVariant(True, False, "bf16", True, True, True)
    for name in (*ON_CPU, *ON_CUDA):
        TorchVariant.parse(name)
    for bad in ("", "eagr", "bf16", "eager+compile", "eager+fp16+bf16", "eager+graphs"):
        refusal(UsageError, lambda bad=bad: TorchVariant.parse(bad), "PyTorch")


def test_modes_by_name():
    assert parse_mode("throughput", "GPU") == Mode("GPU", "throughput")
    assert parse_mode("bf16", "CPU") == Mode("CPU", "latency", "bf16")
    refusal(UsageError, lambda: Plan(modes=("fast",)), "fast", "throughput")
    refusal(UsageError, lambda: Mode(hint="fast"), "fast")


def test_pictures_are_judged_by_the_gate_of_what_computed_them(tiny_spec):
    scene = make_scene(tiny_spec, (32, 32))
    assert np.array_equal(scene.degraded, make_scene(tiny_spec, (32, 32)).degraded)
    assert 20 < (scene.degraded.astype(float) - scene.originals).std() < 26
    expected = (scene.originals / np.float32(255)).astype(np.float32) * np.float32(0.9)
    signs = np.where(np.arange(expected.size).reshape(expected.shape) % 2, 1, -1).astype(np.float32)
    near = expected + np.float32(4e-3) * signs
    assert judge(expected, expected, scene, "fp32").status == "ok"
    assert judge(near, expected, scene, "fp32").status == "wrong"
    assert judge(near, expected, scene, "int8").status == "ok"
    assert judge(near, expected, scene, "int8").psnr_db == pytest.approx(48, abs=0.5)
    tinted = judge(expected + np.float32(4e-3), expected, scene, "int8")
    assert tinted.status == "wrong"
    assert "colour" in tinted.reason
    broken = judge(near * np.float32(np.nan), expected, scene, "int8")
    assert broken.status == "wrong"
    assert "NaN" in broken.reason
    assert broken.drop_db is None


def test_what_is_lost_is_measured_against_the_originals(tiny_spec):
    scene = make_scene(tiny_spec, (32, 32))
    exact = (scene.originals / np.float32(255)).astype(np.float32)
    levels = np.where(np.arange(exact.size).reshape(exact.shape) % 2, 1, -1).astype(np.float32) / np.float32(255)
    inside = np.clip(exact, 8 / 255, 247 / 255).astype(np.float32)
    one, four = judge(inside + levels, inside, scene, "int8"), judge(inside + 4 * levels, inside, scene, "int8")
    assert four.drop_db > one.drop_db > 0


def test_the_machine_is_described():
    facts = machine_facts()
    assert facts["cores"] >= 1
    assert facts["versions"]["torch"] in describe_machine(facts)
