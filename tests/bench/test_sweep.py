"""What a sweep times: its rows, and why PyTorch is not among them. Runs no model."""

import dataclasses

from elir_edge.bench.measure import Contestant, Measured
from elir_edge.bench.sweep import Plan, _modes, _reference, _torch_rows, _why_no_torch
from elir_edge.runtime.backend import Backend
from tests.bench.samples import QUIET, row
from tests.helpers import manifest_without_files


def test_a_mode_that_is_given_twice_is_timed_once():
    assert len(_modes("openvino", "CPU", Plan(modes=("bf16", "latency", "bf16")))) == 2


def test_it_is_told_why_pytorch_is_left_out_and_nothing_is_checked(monkeypatch):
    manifest = manifest_without_files()
    assert _why_no_torch(manifest, Plan()) is None
    own = dataclasses.replace(manifest, weights=manifest.weights | {"kind": "file", "name": "mine.pth"})
    reason = _why_no_torch(own, Plan())
    assert "mine.pth" in reason and "--weights" in reason
    assert _why_no_torch(own, Plan(weights=("mine.pth",))) is None
    first = Contestant(row("a.onnx", 0.1), {})
    assert reason in _reference(first, Measured([], [], QUIET, {}), own, Plan())
    monkeypatch.setattr(Backend, "is_installed", lambda backend: False)
    assert "not installed" in _why_no_torch(manifest, Plan())


def test_weights_are_for_artifacts_that_do_not_name_theirs():
    manifest, plan = manifest_without_files(), Plan(weights=("mine.pth",))
    own = dataclasses.replace(manifest, weights=manifest.weights | {"kind": "file", "name": "other.pth"})
    (named,), (unnamed,) = _torch_rows(manifest, plan), _torch_rows(own, plan)
    assert named.request["weights"] == manifest.weights["name"]
    assert unnamed.request["weights"] == ["mine.pth"]


def test_a_reference_that_failed_is_the_reason():
    failed = dataclasses.replace(row("PyTorch eager", 0.1), error="out of memory")
    first, measured = Contestant(failed, {"variant": "eager"}), Measured([failed], [None], QUIET, {})
    assert _reference(first, measured, manifest_without_files(), Plan()) == "PyTorch failed: out of memory"
