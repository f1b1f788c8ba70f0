"""What the specification of a model alone tells is told before its weights are read."""

from __future__ import annotations

import pytest

from tests.helpers import save_picture

EARLY = {
    "precision": (("export", "-t", "tflite", "--precision", "w8a16"), 2, "it offers fp32"),
    "precision of a split artifact": (("export", "--split", "--precision", "int8"), 2, "for split artifacts"),
    "noise": (("export", "--noise", "loud"), 2, "baked:SEED"),
    "io": (("export", "--io", "int3"), 2, "float, uint8"),
    "task": (("export", "--precision", "int8", "--task", "denoisin"), 2, "did you mean 'denoising'?"),
    "task of evaluate": (("evaluate", "--task", "denoisin"), 2, "did you mean 'denoising'?"),
    "task of sensitivity": (("sensitivity", "--task", "denoisin"), 2, "did you mean 'denoising'?"),
    "size": (("export", "--size", "100"), 78, "nearest allowed is"),
    "size of restore": (("restore", "a.png", "-o", "b.png", "--size", "100"), 78, "nearest allowed is"),
    "size of lower": (("lower", "--size", "100"), 78, "nearest allowed is"),
    "size of sensitivity": (("sensitivity", "--size", "100"), 78, "nearest allowed is"),
}


@pytest.mark.parametrize("what", EARLY)
def test_it_is_told_before_weights_are_read(what, run, tmp_path, monkeypatch):
    def read(*arguments):
        raise AssertionError("weights were read")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("elir_edge.families.weights.load_restorer", read)
    save_picture(tmp_path / "a.png")
    arguments, code, said = EARLY[what]
    outcome = run(*arguments, "-p", "sr")
    assert outcome.code == code and said in outcome.err, outcome.err
