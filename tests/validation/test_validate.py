"""The comparison with PyTorch, without a runtime: what passes no gate, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from elir_edge.errors import UsageError
from elir_edge.validation import validate as module
from elir_edge.validation.gates import gate_for
from elir_edge.validation.result import Validation
from tests.helpers import refusal
from tests.sessions import IdentitySession

PICTURE = np.zeros((32, 32, 3), np.uint8)


def test_nothing_compared_is_nothing_passed():
    refusal(UsageError, lambda: module.validate(Path("a.onnx"), None, None, {}), "no pictures")
    result = Validation("onnxruntime", gate_for("fp32"), {})
    assert not result.passed and result.failures == ("no picture was compared",)


def test_pictures_without_an_original_are_refused():
    pictures, originals = {"a": PICTURE, "b": PICTURE}, {"a": PICTURE}
    refusal(
        *(UsageError, lambda: module.validate(Path("a"), None, None, pictures, originals=originals)),
        "no original is named b",
    )


@pytest.mark.parametrize("io", ["float", "uint8"])
def test_a_model_that_gives_nan_passes_no_gate(monkeypatch, io):
    torch = pytest.importorskip("torch")
    restored = torch.full((1, 3, 32, 32), torch.nan)
    monkeypatch.setattr(module, "reference_trajectory", lambda *given: SimpleNamespace(restored=restored))
    monkeypatch.setattr(module, "open_session", lambda *given: IdentitySession("uint8" if io == "uint8" else "float32"))
    manifest = SimpleNamespace(precision="fp32", io=io, noise={"mode": "zero", "seed": None})
    result = module._compare_pictures(Path("a"), manifest, None, {"a": PICTURE}, None, module.Silent(), None)
    assert not result.passed
    assert result.failures == ("a: the model's result holds 3072 values that are NaN or infinite",)
