"""Tuning: int8 gets nearer to the float output; the bytes are equal on every run, also after an interruption."""

from contextlib import contextmanager

import pytest
import torch

from elir_edge import export, load_restorer
from elir_edge.core.progress import Silent
from elir_edge.families.weights import tensors_sha256
from elir_edge.lowering.lower import lower
from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration
from elir_edge.quantize.plan import Quantization
from elir_edge.quantize.preparation import prepare_and_tune
from elir_edge.quantize.tune import TuneBudget

pytestmark = pytest.mark.slow


class Interrupting(Silent):
    """Counts the steps of tuning; raises KeyboardInterrupt where the step after the ``last`` one would begin."""

    def __init__(self, last=None):
        self.last, self.steps = last, -1  # the first advance tells what was done before

    @contextmanager
    def stage(self, text, total=None):
        def advance(amount):
            if text.startswith("fitting"):
                self.steps += 1
                if self.steps == (None if self.last is None else self.last + 1):
                    raise KeyboardInterrupt

        yield advance


@pytest.fixture
def large_steps(monkeypatch):
    """A rate at which every step moves weights by a whole level of int8, and a state saved after every step."""
    monkeypatch.setattr("elir_edge.quantize.tune.KERNEL_RATE", 1.0)
    monkeypatch.setattr("elir_edge.quantize.tune.SAVE_EVERY_S", 0.0)


def assert_equal_weights(graph, other):
    for name, tensor in graph.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.fixture
def calibration(light_restorer):
    return gather_calibration(CalibrationRequest(count=4), light_restorer.spec, 64, 64)


def test_tuning_brings_int8_nearer():
    """With the trained model and the rate that is shipped."""
    nano = load_restorer("nano")
    calibration = gather_calibration(CalibrationRequest(count=6), nano.spec, 64, 64)
    _, report = prepare_and_tune(lower(nano, 64), nano, calibration, TuneBudget(steps=40), Silent())
    assert report.steps == 40 and report.after_db > report.before_db


def test_tuned_exports_repeat_whatever_is_in_the_cache(bare_restorer, tmp_path, monkeypatch, large_steps):
    """A tuning of another length is not gone on from: its rates were others. Not square, too, and lower than crops."""

    def export_tuned(steps, folder):
        """The bytes of an int8 export with so many steps of tuning."""
        wish = Quantization(CalibrationRequest(count=4), tune=TuneBudget(steps=steps), allow_degraded=True)
        out = tmp_path / folder / "x.onnx"
        artifact = export(bare_restorer, "onnx", "int8", "64x96", out=out, quantization=wish)
        assert artifact.manifest.quantization["tuned"]["steps"] == steps
        return artifact.path.read_bytes()

    fresh = export_tuned(3, "fresh")
    monkeypatch.setenv("ELIR_EDGE_CACHE", str(tmp_path / "cache"))
    shorter = export_tuned(2, "shorter")
    assert export_tuned(3, "longer") == fresh != shorter


def test_an_interrupted_tuning_goes_on_where_it_stopped(light_restorer, calibration, tmp_path, large_steps):
    before = tensors_sha256(light_restorer.state_dict())

    def tune(progress, checkpoint):
        graph = lower(light_restorer, 64)
        return prepare_and_tune(graph, light_restorer, calibration, TuneBudget(steps=4), progress, checkpoint)

    whole, report = tune(Interrupting(), None)
    with pytest.raises(KeyboardInterrupt):
        tune(Interrupting(last=2), tmp_path / "state.pt")
    rest = Interrupting()
    resumed, report_of_both = tune(rest, tmp_path / "state.pt")
    assert rest.steps == 2
    assert report_of_both == report
    assert_equal_weights(whole, resumed)
    assert tensors_sha256(light_restorer.state_dict()) == before


def test_a_damaged_or_unwritable_state_costs_no_tuning(light_restorer, calibration, tmp_path, large_steps):
    notes = []

    class Telling(Silent):
        def note(self, text):
            notes.append(text)

    def tune(checkpoint):
        graph = lower(light_restorer, 64)
        return prepare_and_tune(graph, light_restorer, calibration, TuneBudget(steps=1), Telling(), checkpoint)[0]

    (tmp_path / "state.pt").write_bytes(b"PK\3\4 cut short")
    tuned = tune(tmp_path / "state.pt")
    assert len(notes) == 1 and "cannot be read" in notes[0] and "begins anew" in notes[0]
    torch.load(tmp_path / "state.pt", weights_only=True)
    assert_equal_weights(tune(tmp_path / "no such folder" / "state.pt"), tuned)
    assert len(notes) == 2 and "cannot be saved" in notes[1]
