"""elir-edge bench: what is refused before anything is measured, what is compared, and the exit code. Runs no model."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from elir_edge.artifacts.artifact import Artifact
from elir_edge.bench.devices import devices_called
from elir_edge.bench.results import ABSENT, FAILED
from elir_edge.cli.bench import MEASURING, SHOWING, command
from elir_edge.errors import OutputError, UnavailableError, UsageError
from tests.bench.samples import results, row, usual
from tests.helpers import manifest_without_files, refusal


def bench(*arguments):
    """Run the command in this process; raises its errors."""
    return command.main([str(argument) for argument in arguments], standalone_mode=False)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder: results, an artifact of two files that is opened without a look, and no measurement."""
    monkeypatch.chdir(tmp_path)
    Path("r.json").write_text(usual().to_json())
    Path("folder").mkdir()
    manifest = dataclasses.replace(manifest_without_files(), files={"a.xml": "", "a.bin": ""})
    monkeypatch.setattr("elir_edge.cli.bench.open_artifact", lambda path, shown: Artifact(path, manifest))

    def sweep(*arguments):
        pytest.fail("it was measured")

    monkeypatch.setattr("elir_edge.bench.sweep.sweep", sweep)
    return tmp_path


@pytest.mark.parametrize("option", ["-o", "--report", "--table", "--plot"])
def test_a_folder_as_output_is_refused_before_the_work(place, option):
    refusal(OutputError, lambda: bench("a.xml", option, "folder"), "folder: is a folder", "name of a file")


@pytest.mark.parametrize("output", ["a.xml", "a.bin", "a.xml.json", "a.xml.golden.zip", "folder/../a.bin"])
def test_an_output_that_is_part_of_an_artifact_is_refused(place, output):
    for option in ("-o", "--report", "--table", "--plot"):
        refusal(UsageError, lambda o=option: bench("a.xml", o, output), option, output, "the artifact a.xml")


def test_an_output_in_the_folder_of_an_artifact_is_refused(place, monkeypatch):
    manifest = dataclasses.replace(manifest_without_files(), files={"a.split": ""})
    monkeypatch.setattr("elir_edge.cli.bench.open_artifact", lambda path, shown: Artifact(path, manifest))
    refusal(UsageError, lambda: bench("a.split", "-o", "a.split/r.json"), "a.split/r.json", "the artifact a.split")


def test_outputs_of_one_name_and_the_results_themselves_are_refused(place):
    refusal(UsageError, lambda: bench("a.xml", "-o", "x", "--table", "./x"), "--table x: is what -o writes")
    refusal(UsageError, lambda: bench("--from", "r.json", "-o", "r.json"), "the results to show")


@pytest.mark.parametrize("given, named", [
    (["a.onnx"], "artifacts"),
    (["--all", "folder"], "--all"),
    (["--backend", "onnxruntime"], "--backend"),
    (["--device", "CPU"], "--device"),
    (["--mode", "latency"], "--mode"),
    (["--torch", "all"], "--torch"),
    (["-p", "nano"], "--preset"),
    (["-w", "random:0"], "--weights"),
    (["--threads", "1"], "--threads"),
    (["--rounds", "10"], "--rounds"),
])  # fmt: skip
def test_what_measures_is_refused_where_nothing_is_measured(place, given, named):
    refusal(UsageError, lambda: bench("--from", "r.json", *given), "--from", named)
    refusal(UsageError, lambda: bench("--compare", "r.json", "r.json", *given), "--compare", named)


def test_pytorch_and_unknown_names_are_refused_before_the_work(place):
    refusal(UsageError, lambda: bench("--backend", "torch"), "PyTorch opens no artifacts", "--torch")
    refusal(UsageError, lambda: bench("a.xml", "-b", "onnxruntme"), "did you mean 'onnxruntime'?")
    refusal(UsageError, lambda: bench("a.xml", "--device", "CPUU"), "no backend knows a device 'CPUU'", "'CPU'?")


def test_devices_are_called_in_any_case_and_once():
    assert devices_called(["cpu", "CPU"]) == ("CPU",)
    assert devices_called(["gpu", "cpu"]) == ("GPU", "CPU")
    assert devices_called([]) == ()


@pytest.mark.parametrize("rows, code", [
    ([row("a.xml", 0.1), row("b.xml", 0.1, ABSENT)], 0),
    ([row("a.xml", 0.1, ABSENT), row("b.xml", 0.1, ABSENT)], UnavailableError.exit_code),
    ([row("a.xml", 0.1, ABSENT), row("b.xml", 0.1, FAILED)], 1),
])  # fmt: skip
def test_a_run_that_timed_no_artifact_does_not_end_well(place, monkeypatch, rows, code):
    monkeypatch.setattr("elir_edge.bench.sweep.sweep", lambda *arguments: (results(*rows), []))
    assert bench("a.xml") == code


def test_an_artifact_that_is_named_twice_is_opened_once(place, monkeypatch):
    asked = []
    monkeypatch.setattr("elir_edge.bench.sweep.sweep", lambda found, *more: (asked.extend(found), (usual(), []))[1])
    bench("a.xml", "./a.xml")
    assert len(asked) == 1


def test_a_comparison_says_how_the_runs_differ_as_text_and_as_json(place):
    new = usual()
    new.machine["versions"]["torch"] = "3"
    Path("new.json").write_text(new.to_json())
    shown = CliRunner().invoke(command, ["--compare", "r.json", "new.json"])
    assert "note: torch: 2 -> 3" in shown.stdout.splitlines()
    told = json.loads(CliRunner().invoke(command, ["--compare", "r.json", "new.json", "--json"]).stdout)
    assert told["notes"] == ["torch: 2 -> 3"]
    assert [change["verdict"] for change in told["changes"]] == ["same"] * 6


def test_every_option_that_measures_is_an_option():
    names = {parameter.name for parameter in command.params}
    assert names == {*MEASURING, *SHOWING, "compare", "as_json"}
