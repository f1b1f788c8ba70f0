"""Results: JSON, table, charts, and the comparison of two."""

import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from elir_edge.bench.charts import latency_chart, memory_chart, size_chart, speed_chart, speed_plot
from elir_edge.bench.compare import compare_results, differences
from elir_edge.bench.noise import Noise
from elir_edge.bench.report import html_report
from elir_edge.bench.results import FAILED, OK, UNCHECKED, WRONG, Judgement, load_results
from elir_edge.bench.table import markdown, notes
from elir_edge.core.files import distinct_names
from elir_edge.errors import DataError, MissingInputError
from tests.bench.samples import MODEL, results, row, usual
from tests.helpers import refusal


def test_json_gives_back_what_was_written(tmp_path):
    found = usual()
    path = tmp_path / "results.json"
    path.write_text(found.to_json())
    assert load_results(path) == found
    data = json.loads(path.read_text())
    assert data["schema"] == 1
    (section,) = data["sections"]
    torch, ours, small, wrong, split, broken, absent = section["rows"]
    assert [item["status"] for item in section["rows"]] == ["ok", "ok", "ok", "wrong", "ok", "failed", "absent"]
    assert ours["figures"]["fps"] == pytest.approx(1 / ours["figures"]["p50"])
    assert ours["figures"]["of_roof"] == pytest.approx(2 * ours["figures"]["fps"] / 100)
    assert small["figures"]["of_roof"] == pytest.approx(2 * small["figures"]["fps"] / 400)
    assert split["figures"]["of_roof"] is None
    assert len(torch["rounds"]) == 10
    assert "figures" in wrong
    assert broken["figures"] == absent["figures"] == {}


def test_files_that_are_no_results_are_refused(tmp_path):
    refusal(MissingInputError, lambda: load_results(tmp_path / "none.json"), "none.json")
    for text in ("", "[]", "{}", '{"schema": 9, "sections": []}', usual().to_json().replace('"label"', '"name"')):
        (tmp_path / "bad.json").write_text(text)
        refusal(DataError, lambda: load_results(tmp_path / "bad.json"), "bad.json")


def test_the_table_marks_what_is_wrong_and_names_what_is_not_there():
    text = markdown(usual())
    lines = text.splitlines()
    assert any(line.startswith("| c-wrong.onnx") and "WRONG" in line for line in lines)
    assert any(line.startswith("| e-broken.onnx") and "failed" in line for line in lines)
    assert not any(line.startswith("| f-absent") for line in lines)
    assert "not there: f-absent.onnx in onnxruntime, CUDA: no reason" in text
    assert "not there: openvino GPU: no such device" in text
    assert "GPU 800, CPU 1" in text
    assert "quiet machine" in text
    assert "energy: no counters" in text
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_a_noisy_machine_is_called_noisy():
    for noise in (Noise(0.2, 0.0, 0.0), Noise(0.0, 0.2, 0.0), Noise(0.0, 0.0, 0.2)):
        assert "NOISY" in notes(results(noise=noise))[0]
    assert "NOISY" not in notes(results(noise=Noise(0.04, 0.04, None)))[0]


def test_plots_are_well_formed_and_hold_every_row_with_figures():
    found = usual()
    (section,) = found.sections
    timed = [item for item in section.rows if item.latency]
    for chart in (speed_chart(section), latency_chart(section), memory_chart(section), speed_plot(found)):
        texts = [node.text for node in ElementTree.fromstring(chart).iter() if node.text]
        assert all(any(item.label in text for text in texts) for item in timed)
    points = [node for node in ElementTree.fromstring(size_chart(section)).iter() if node.tag.endswith("text")]
    assert any(node.text == "b-int8.tflite in litert" for node in points)


def test_equal_runs_are_the_same():
    assert not any(change.regressed for change in compare_results(usual(), usual()))
    assert differences(usual(), usual()) == []


def test_slower_beyond_the_noise_is_a_regression():
    old = results(row("a.onnx", 0.05), row("b.onnx", 0.05))
    new = results(row("a.onnx", 0.06), row("b.onnx", 0.0505))
    base, slower, same = compare_results(old, new)
    assert (base.verdict, slower.verdict, same.verdict) == ("same", "SLOWER", "same")
    assert slower.regressed
    assert slower.factor == pytest.approx(5 / 6, rel=0.02)
    assert compare_results(new, old)[1].verdict == "faster"


def test_a_machine_slow_as_a_whole_is_no_regression_of_the_rows():
    old = results(row("a.onnx", 0.05), base=0.1)
    busy = results(row("a.onnx", 0.10), base=0.2, noise=Noise(0.1, 0.1, 0.6))
    assert [change.verdict for change in compare_results(old, busy)] == ["same", "same"]


def test_within_a_noisy_run_nothing_is_called_slower():
    def noisy(seconds):
        made = row("a.onnx", seconds, rounds=4)
        found = results(made)
        spread = dataclasses.replace(found.rows[1], ratio=(1.0, 2.0 * 0.05 / seconds, 3.0))
        section = dataclasses.replace(found.sections[0], rows=[found.rows[0], spread])
        return dataclasses.replace(found, sections=[section])

    assert compare_results(noisy(0.05), noisy(0.06))[1].verdict == "same"


def test_a_section_in_which_nothing_ran_is_drawn_too():
    nothing = results(row("a.onnx", 0.05, FAILED)).sections[0]
    nothing = dataclasses.replace(nothing, rows=[nothing.rows[1]])
    for drawn in (speed_plot(dataclasses.replace(usual(), sections=[nothing])), memory_chart(nothing)):
        ElementTree.fromstring(drawn)


def test_rows_of_files_of_one_name_are_compared_one_by_one():
    old = results(row("nano.onnx", 0.05), row("nano.onnx", 0.05))
    new = results(row("nano.onnx", 0.05, FAILED), row("nano.onnx", 0.05))
    assert [change.verdict for change in compare_results(old, new)] == ["same", "BROKEN", "same"]


def test_a_file_of_another_precision_is_another_row():
    single, whole = row("nano.onnx", 0.05), dataclasses.replace(row("nano.onnx", 0.02), precision="int8")
    assert {c.verdict for c in compare_results(results(single, whole), results(whole, single))} == {"same"}
    changes = compare_results(results(single, whole), results(whole))
    assert [(c.label, c.verdict) for c in changes[1:]] == [("nano.onnx", "same"), ("nano.onnx", "GONE")]


def test_what_is_new_and_wrong_says_so():
    changes = compare_results(results(row("a.onnx", 0.05)), results(row("a.onnx", 0.05), row("b.onnx", 0.05, WRONG)))
    assert (changes[-1].verdict, changes[-1].detail) == ("new", WRONG)


def test_files_of_one_name_are_told_apart_by_their_folders():
    paths = [Path(text) for text in ("v1/nano.onnx", "a/v2/nano.onnx", "b/v2/nano.onnx", "nano.tflite")]
    assert list(distinct_names(paths).values()) == [str(Path("v1/nano.onnx")), *map(str, paths[1:])]


def test_what_breaks_or_goes_is_a_regression_and_what_is_new_is_none():
    old = results(row("a.onnx", 0.05), row("b.onnx", 0.05), row("c.onnx", 0.05), row("w.onnx", 0.05, WRONG))
    new = results(
        row("a.onnx", 0.05, WRONG), row("b.onnx", 0.05, FAILED), row("w.onnx", 0.05, WRONG), row("d.onnx", 0.05)
    )
    verdicts = {change.label: change.verdict for change in compare_results(old, new)}
    assert verdicts == {
        "PyTorch eager": "same", "a.onnx": "BROKEN", "b.onnx": "BROKEN", "w.onnx": "same", "d.onnx": "new",
        "c.onnx": "GONE",
    }  # fmt: skip


def cuda(status=OK, device_name="GPU A", **more):
    made = dataclasses.replace(row("PyTorch eager, cuda", 0.01, status), artifact=None, backend="torch", device="CUDA")
    return dataclasses.replace(made, device_name=device_name, **more)


def test_a_row_of_pytorch_on_a_gpu_stays_itself_where_it_fails():
    works, fails = results(cuda()), results(cuda(FAILED, device_name=None))
    assert [change.verdict for change in compare_results(works, fails)] == ["same", "BROKEN"]
    assert [change.verdict for change in compare_results(fails, works)] == ["same", "mended"]


def test_results_with_the_gpu_in_place_of_its_kind_are_read(tmp_path):
    path = tmp_path / "old.json"
    old = json.loads(results(cuda()).to_json())
    told = old["sections"][0]["rows"][1]
    told["device"] = told.pop("device_name")
    path.write_text(json.dumps(old))
    assert load_results(path) == results(cuda())


def test_everything_that_speeds_depend_on_is_compared():
    old, new = results(cuda()), results(cuda(device_name="GPU B"))
    machine = old.machine | {"processor": "another", "versions": {"openvino": "1"}}
    model = dataclasses.replace(MODEL, weights="random:0", steps=3)
    section = dataclasses.replace(new.sections[0], model=model)
    new = dataclasses.replace(new, machine=machine, settings={"threads": 2}, sections=[section])
    assert differences(old, new) == [
        "processor: a processor -> another",
        "threads: all -> 2",
        "torch: 2 -> not installed",
        "openvino: not installed -> 1",
        "weights of tiny at 32 x 48: packaged:tiny -> random:0",
        "steps of tiny at 32 x 48: 2 -> 3",
        "GPU of PyTorch eager, cuda: GPU A -> GPU B",
    ]


@pytest.mark.parametrize("device, placement, strays", [
    ("CUDA", {"CPU": 270}, True),
    ("GPU", {"GPU": 800, "CPU": 1}, True),
    ("GPU", {"GPU,CPU": 801}, True),
    ("GPU", {"GPU.0": 801}, False),
    ("CPU", {"CPU": 270}, False),
    ("CPU", {}, False),
])  # fmt: skip
def test_ops_on_another_device_are_told_also_where_it_is_all_of_them(device, placement, strays):
    found = results(row("a.onnx", 0.05, device=device, placement=placement))
    assert found.rows[1].strays is strays
    assert any("ops by device" in note for note in notes(found)) is strays
    assert ("ops: " in html_report(found)) is strays


def test_a_picture_that_is_not_checked_has_its_reason_and_a_ratio_its_base():
    unchecked = dataclasses.replace(row("a.onnx", 0.05), judgement=Judgement(UNCHECKED, reason="no weights"))
    found = results(unchecked)
    assert "not checked: no weights" in notes(found)
    assert not any(note.startswith("times as fast") for note in notes(found))
    alone = dataclasses.replace(found.sections[0], rows=found.rows[1:])
    assert "times as fast: as a.onnx" in notes(dataclasses.replace(found, sections=[alone]))
