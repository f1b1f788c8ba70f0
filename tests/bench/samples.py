"""Results made by hand, for tests of tables, charts and comparisons."""

from __future__ import annotations

import dataclasses

import numpy as np

from elir_edge.bench.noise import Noise
from elir_edge.bench.pictures import Scene
from elir_edge.bench.results import ABSENT, FAILED, OK, WRONG, Judgement, Model, Results, Row, Section
from elir_edge.bench.sweep import Gallery

MODEL = Model("tiny", "a model of a <test>", (32, 48), 2, "packaged:tiny", True)
QUIET = Noise(0.01, 0.02, 0.0)
COLD = {"import_s": 0.1, "load_s": 0.2, "first_s": 0.3}


def row(label: str, seconds: float, status: str = OK, rounds: int = 10, jitter: float = 0.01, **more) -> Row:
    """A row whose samples lie around ``seconds``."""
    rng = np.random.default_rng(len(label))
    samples = (seconds * rng.normal(1, jitter, (rounds, 5))).tolist()
    made = Row(label, 2.0, f"models/{label}", "onnxruntime", size_bytes=6_000_000, peak_bytes=200_000_000)
    made = dataclasses.replace(made, cold=COLD, rounds=samples, **more)
    if status in (FAILED, ABSENT):
        return dataclasses.replace(made, rounds=[], error=f"{label}: no reason", absent=status == ABSENT)
    psnr = 130.0 if status == OK else 12.0
    return dataclasses.replace(made, judgement=Judgement(status, "1.0e-04 max abs", 1e-6, psnr, 30.0, 0.01))


def results(*rows: Row, noise: Noise = QUIET, base: float = 0.1) -> Results:
    """Results with PyTorch at ``base`` seconds and ``rows``, with their ratios to it."""
    torch = dataclasses.replace(row("PyTorch eager", base), artifact=None, backend="torch", size_bytes=None)
    placed = [torch, *rows]
    placed = [
        dataclasses.replace(item, ratio=tuple(base / item.latency.p50 * k for k in (0.98, 1, 1.02)))
        if item.latency
        else item
        for item in placed
    ]
    machine = {
        "processor": "a processor", "cores": 4, "memory_gib": 8, "system": "Linux x86_64", "instructions": ["avx2"],
        "python": "3.11", "versions": {"torch": "2"},
    }  # fmt: skip
    settings = {"threads": None, "rounds": 10}
    missing = ["openvino GPU: no such device"]
    return Results(
        machine, settings, {"fp32": 100.0, "int8": 400.0}, "no counters", missing, [Section(MODEL, placed, noise)]
    )


def usual() -> Results:
    """Results with one row of each status."""
    split = {"placement": {"GPU": 800, "CPU": 1}, "device": "GPU"}
    return results(
        row("a-fp32.onnx in onnxruntime", 0.05),
        dataclasses.replace(row("b-int8.tflite in litert", 0.02, jitter=0.2), precision="int8", backend="litert"),
        row("c-wrong.onnx in onnxruntime", 0.01, WRONG),
        row("d-split.tflite in litert", 0.03, **split),
        row("e-broken.onnx in onnxruntime", 0.01, FAILED),
        row("f-absent.onnx in onnxruntime, CUDA", 0.01, ABSENT),
    )


def gallery(found: Results) -> Gallery:
    """Random pictures for every row that has figures."""
    rng = np.random.default_rng(0)

    def pictures() -> np.ndarray:
        return rng.integers(0, 256, (2, *MODEL.size, 3), dtype=np.uint8)

    scene = Scene(("one", "two"), pictures(), pictures(), "noise")
    return Gallery(scene, {item.label: pictures() for item in found.rows if item.latency})
