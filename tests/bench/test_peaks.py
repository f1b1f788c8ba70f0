"""Matrix products that give the roof."""

import time

import numpy as np

from elir_edge.bench import peaks


def test_onnxruntime_multiplies_floats_and_integers():
    rng = np.random.default_rng(0)
    floats = rng.standard_normal((8, 8), np.float32)
    small, whole = rng.integers(0, 256, (8, 8), np.uint8), rng.integers(-63, 64, (8, 8), np.int8)
    assert np.allclose(peaks._onnx_product(floats, floats, 1)()[0], floats @ floats, atol=1e-5)
    assert np.array_equal(peaks._onnx_product(small, whole, 1)()[0], small.astype(int) @ whole.astype(int))


def test_a_product_without_a_kernel_is_left_out(monkeypatch):
    """bf16 takes a plain loop's time here; int8 does, too, but ONNX Runtime has a kernel for it."""

    def usual(matrix, threads):
        slow = lambda: time.sleep(0.05)  # noqa: E731
        return {"fp32": lambda: None, "bf16": slow, "int8": slow}

    monkeypatch.setattr(peaks, "_usual", usual)
    monkeypatch.setattr(peaks, "SIDE", 16)
    assert set(peaks._products(1)) == {"fp32", "fp32" + peaks.ANOTHER, "int8" + peaks.ANOTHER}
