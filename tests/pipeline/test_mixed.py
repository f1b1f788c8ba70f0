"""Mixed precision: groups, their simulated losses, float groups in the graph, and limits of the published artifact."""

import dataclasses
import json
from contextlib import nullcontext

import click
import numpy as np
import onnx
import pytest
import torch

from elir_edge import export, load_artifact, load_restorer
from elir_edge.cli.export import Quantity
from elir_edge.core.progress import Silent
from elir_edge.errors import GateError, UsageError
from elir_edge.formats.tflite.file import pack_model, read_file
from elir_edge.formats.tflite.flatmodel import FLOAT32, activations, tensors_by_stage
from elir_edge.lowering.lower import lower
from elir_edge.pipeline import mixed
from elir_edge.pipeline.judge import ways_out_of
from elir_edge.pipeline.ladder import Rung, best_rung, climb, report_of, table_lines, without_latencies
from elir_edge.pipeline.mixed import check_limits
from elir_edge.pipeline.pareto import draw
from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.levels import LEVELS, LEVELS_WITHOUT_VNNI
from elir_edge.quantize.litert_static import quantize_tflite
from elir_edge.quantize.mixed import group_mixture, groups_of, losses_by_group, stages_of_groups
from elir_edge.quantize.plan import Limits, Quantization
from elir_edge.quantize.preparation import as_tensors, prepare
from elir_edge.quantize.simulation import Simulation
from elir_edge.runtime.session import open_session
from elir_edge.validation.trials import gather_trials
from elir_edge.validation.validate import validate
from tests.quantized import float_convolutions, noisy_feeds, psnr_db

LOSSES = {"encoder": 50.0, "step 1": 60.0, "decoder": 45.0}


def rung_of(floats: tuple[str, ...], **changes: object) -> Rung:
    """A rung whose loss falls, and whose size and latency grow, with the number of ``floats``."""
    count = len(floats)
    figures = {"mean_drop_db": 0.3 - 0.1 * count, "size_mb": 1.0 + count, "latency_ms": 10.0 + 5 * count}
    return Rung(floats, **{"worst_drop_db": 0.4, "psnr_db": 42.0} | figures | changes)


def test_the_most_harmful_group_goes_first_and_int8_is_tried_before():
    rungs = climb(LOSSES, Limits(max_drop_db=0.15), rung_of)
    assert [rung.floats for rung in rungs] == [(), ("decoder",), ("decoder", "encoder")]


def test_int8_is_the_answer_where_it_is_good_enough():
    assert [rung.floats for rung in climb(LOSSES, Limits(max_drop_db=0.3), rung_of)] == [()]


def test_never_all_in_float():
    rungs = climb(LOSSES, Limits(max_drop_db=0.01), rung_of)
    assert len(rungs) == len(LOSSES)
    assert not any(rung.meets(Limits(max_drop_db=0.01)) for rung in rungs)


@pytest.mark.parametrize(
    ("limits", "floats"),
    [
        (Limits(max_size_mb=2.5), ("decoder",)),
        (Limits(max_latency_ms=10.0), ()),
        (Limits(max_size_mb=9, max_latency_ms=99), ("decoder", "encoder")),
    ],
)
def test_a_budget_gives_the_least_drop_that_fits(limits, floats):
    assert best_rung(climb(LOSSES, limits, rung_of), limits).floats == floats


def test_a_drop_that_the_budget_forbids_is_refused_with_the_best_that_fits():
    limits = Limits(max_drop_db=0.15, max_size_mb=2.5)
    rungs = climb(LOSSES, limits, rung_of)
    chosen = best_rung(rungs, limits)
    assert chosen.floats == ("decoder",)
    quantization = Quantization(limits=limits)
    report = report_of(LOSSES, rungs, chosen, limits)
    with pytest.raises(GateError, match=r"0\.15 dB, 2\.5 MB.*decoder in float, loses 0\.200 dB"):
        check_limits(chosen, report, quantization, Silent())
    check_limits(chosen, report, dataclasses.replace(quantization, allow_degraded=True), Silent())


def test_what_misses_the_gate_does_not_count():
    limits = Limits(max_drop_db=0.35)
    rungs = climb(LOSSES, limits, lambda floats: rung_of(floats, missed=None if len(floats) > 1 else "a gate"))
    assert best_rung(rungs, limits).floats == ("decoder", "encoder")


def test_a_result_nearer_to_the_originals_by_chance_is_not_the_best():
    """Where no rung passes, the refused one is named with the first condition that it misses."""
    limits = Limits(max_drop_db=0.1)
    wrong = rung_of((), mean_drop_db=-0.37, psnr_db=24.2, missed="coffee: 24.2 dB")
    near = rung_of(("decoder",), mean_drop_db=0.05, psnr_db=51.1, missed="0.52 dB lost on the worst picture")
    passing = rung_of(("decoder", "encoder"), mean_drop_db=0.09, psnr_db=45.0)
    assert best_rung([wrong, near], limits) is near
    assert best_rung([wrong, near, passing], Limits(max_size_mb=9.0)) is passing
    by_chance = dataclasses.replace(passing, mean_drop_db=-0.01, psnr_db=44.0)
    assert best_rung([by_chance, dataclasses.replace(passing, mean_drop_db=0.0)], limits).psnr_db == 45.0
    report = report_of(LOSSES, [wrong, near], near, limits)
    assert [row["missed"] for row in report["table"]] == [wrong.missed, near.missed]
    with pytest.raises(GateError, match=r"loses 0\.050 dB.*below the gate \(0\.52 dB lost on the worst picture\)"):
        check_limits(near, report, Quantization(limits=limits), Silent())


def test_other_pictures_are_a_way_out_where_the_user_chose_them(tmp_path):
    for chosen in ({"folder": tmp_path}, {"task": "denoise"}):
        assert ways_out_of("int8", CalibrationRequest(**chosen)).startswith("other calibration pictures")
    assert "--calibrate" not in ways_out_of("int8", CalibrationRequest())
    assert "--tune" not in ways_out_of("w8a16", CalibrationRequest(tmp_path))


def test_table_and_drawing(tmp_path):
    limits = Limits(max_drop_db=0.15)
    rungs = climb(LOSSES, limits, rung_of)
    report = report_of(LOSSES, rungs, rungs[-1], limits)
    assert json.loads(json.dumps(report)) == report
    lines = table_lines(report)
    assert len(lines) == 1 + len(rungs)
    assert len({len(line) for line in lines}) == 1
    assert [line.startswith("*") for line in lines] == [False, False, False, True]
    assert "latency_ms" not in json.dumps(without_latencies(report)["table"])
    draw(report, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_limits_are_options_of_mixed_only(tiny_restorer, tmp_path):
    with pytest.raises(UsageError, match="options of mixed, not of int8"):
        export(tiny_restorer, precision="int8", quantization=Quantization(limits=Limits(0.1)), out=tmp_path)
    with pytest.raises(UsageError, match="stand-in weights"):
        export(tiny_restorer, precision="mixed", out=tmp_path)


@pytest.fixture(scope="module")
def prepared_graphs(tiny_restorer):
    plain = lower(tiny_restorer)
    return prepare(plain, noisy_feeds(64), Silent()), plain


def test_groups_cover_every_stage_once(prepared_graphs, tiny_spec):
    groups = groups_of(prepared_graphs[0])
    assert [group.name for group in groups] == ["encoder", "estimator", "step 1", "step 2", "decoder"]
    stages = [stage for group in groups for stage in group.stages]
    assert stages == ["encoded", "coarse", "state_0", "state_1", "state_2", "restored"]
    assert stages_of_groups(prepared_graphs[0], {"step 2", "encoder"}) == {"encoded", "state_2"}
    small = load_restorer(dataclasses.replace(tiny_spec, steps=0, estimator=None, field=None))
    assert [group.name for group in groups_of(lower(small))] == ["encoder", "decoder"]


def test_float_groups_keep_unrounded_weights_and_shared_ones_stay_shared(prepared_graphs):
    rounded, plain = prepared_graphs
    graph = group_mixture(rounded, plain, {"step 2", "decoder"})
    for group in groups_of(graph):
        source = plain if group.name in ("step 2", "decoder") else rounded
        for name, tensor in graph.get_submodule(group.module).state_dict().items():
            assert torch.equal(tensor, source.get_submodule(group.module).state_dict()[name])
    both = group_mixture(rounded, plain, {"step 1", "step 2"})
    assert both.parameter_count() == rounded.parameter_count()
    assert graph.parameter_count() > rounded.parameter_count()


def test_a_group_by_itself_loses_less_than_all_together(prepared_graphs):
    rounded, plain = prepared_graphs
    feeds = [as_tensors(feed) for feed in noisy_feeds(64)]
    losses = losses_by_group(rounded, plain, feeds, feeds, Silent(), LEVELS)
    assert set(losses) == {group.name for group in groups_of(plain)}
    assert all(20 < loss < 120 for loss in losses.values())
    simulation, pictures = Simulation.observe(plain, feeds), []
    for graph, context in ((rounded, simulation.active), (plain, nullcontext)):
        values = []
        for feed in feeds:
            with torch.no_grad(), context():
                values.append(graph.values(*feed)[1])
        pictures.append((torch.cat(values) / plain.pixel_gain).clamp(0, 1).numpy())
    together = psnr_db(*pictures)
    assert together < min(losses.values())


STAGES = ["encoded", "coarse", "state_0", "state_1", "state_2", "restored"]


@pytest.fixture(scope="module")
def plain_tflite(light_artifact):
    return light_artifact("tflite", io="uint8").path


@pytest.mark.slow
@pytest.mark.parametrize("floats", [{"encoded"}, {"state_1"}, {"restored"}, {"coarse", "state_0", "restored"}])
def test_tflite_with_a_float_group_still_speaks_bytes(plain_tflite, tmp_path, floats):
    by_stage = tensors_by_stage(read_file(plain_tflite), STAGES)
    kept = frozenset().union(*(by_stage[stage] for stage in floats))
    path = tmp_path / "mixed.tflite"
    feeds = noisy_feeds(64, "uint8")
    model = quantize_tflite(read_file(plain_tflite), feeds, STAGES, Silent(), kept, gflop=1e9)
    path.write_bytes(pack_model(model))
    kinds = {name: model.subgraphs[0].tensors[index].type for name, index in activations(model).items()}
    for stage, names in by_stage.items():
        convolutions = [name for name in names & kinds.keys() if name.startswith("conv_2d")]
        assert convolutions or stage == "state_0"
        assert all((kinds[name] == FLOAT32) == (stage in floats) for name in convolutions), stage
    with open_session(plain_tflite, "litert") as exact, open_session(path, "litert") as mixed:
        for feed in noisy_feeds(64, "uint8", first=2):
            pictures = [session.run(feed)["restored"] for session in (mixed, exact)]
            assert pictures[0].dtype == np.uint8
            assert psnr_db(pictures[0] / 255, pictures[1] / 255) > 35


@pytest.mark.slow
def test_the_published_artifact_keeps_the_drop_that_was_asked_for(tmp_path, monkeypatch):
    """The trained model at a size that is quick; int8 alone would lose more than is allowed."""
    restorer, allowed, levels = load_restorer("nano"), 0.025, []
    monkeypatch.setattr(mixed, "losses_by_group", lambda *given: levels.append(given[-1]) or losses_by_group(*given))
    quantization = Quantization(CalibrationRequest(count=4), limits=Limits(max_drop_db=allowed))
    artifact = export(restorer, "onnx", "mixed", size=128, out=tmp_path / "mixed.onnx", quantization=quantization)
    assert levels == [LEVELS_WITHOUT_VNNI]  # what kernels of this format have
    found = artifact.manifest.quantization["mixed"]
    assert found["table"][0]["floats"] == []
    assert found["table"][0]["mean_drop_db"] > allowed
    assert 1 <= len(found["float_groups"]) < len(found["losses_db"])
    assert len(float_convolutions(onnx.load(artifact.path))) > 0
    assert (tmp_path / "mixed.onnx.pareto.png").is_file()
    again = load_artifact(artifact.path)
    trials = gather_trials(again.manifest.quantization["calibration"]["task"], 128, 128)
    measured = validate(again.path, again.manifest, restorer, trials.degraded, originals=trials.originals)
    assert measured.passed
    assert measured.mean_drop_db <= allowed


@pytest.mark.parametrize("text", ["0.05", "0.05dB", "0.05 db"])
def test_a_drop_may_have_its_unit(text):
    assert Quantity("dB").convert(text, None, None) == 0.05


@pytest.mark.parametrize("text", ["dB", "-1", "0", "nan", "inf", "5MB"])
def test_a_drop_is_a_positive_number(text):
    with pytest.raises(click.BadParameter, match="is not a positive number of dB"):
        Quantity("dB").convert(text, None, None)
