"""The machine around it: disks, memory, signals, other runs, libraries that are missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.core.test_publish import mount_tmpfs
from tests.helpers import Outcome, child_environment, command_line, heed_signals, run_process, snapshot
from tests.robustness.faults import TINY, assert_told

pytestmark = pytest.mark.campaign

RESTORE = ("restore", "a.png", "-a", "good.onnx", "-o")
EXPORT = ("export", "-p", "tiny.yaml", "-o", "old.onnx", "--force")
MB = 1_000_000


def test_a_full_disk(place, run):
    with mount_tmpfs(place.parent / "small", "size=1m") as folder:
        (folder / "old.png").write_text("precious")
        (folder / "filler").write_bytes(bytes(os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize))
        before = snapshot(folder)
        outcome = run(*RESTORE, folder / "old.png", "--force")
        assert_told(outcome, 74, "old.png", "No space left", "free some space")
        assert snapshot(folder) == before


def test_a_read_only_place_is_told_in_two_seconds(place):
    with mount_tmpfs(place.parent / "fixed", "size=1m", "ro") as folder:
        began = time.process_time()
        outcome = run_process("export", "-p", "tiny.yaml", "-o", folder / "a.onnx", cwd=place)
        assert_told(outcome, 73, "a.onnx", "Read-only", "choose another place")
        assert time.process_time() - began < 2


# ---- memory ----------------------------------------------------------------------------------------------------------


def run_capped(place: Path, megabytes: int, *arguments: str) -> Outcome:
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * MB, megabytes * MB))

    done = subprocess.run(
        command_line(*arguments), cwd=place, env=child_environment(), capture_output=True, text=True, preexec_fn=limit
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


CAPS = {
    "PyTorch cannot be loaded": (500, EXPORT),
    "PyTorch can, and the rest cannot": (700, EXPORT),
    "no runtime can be loaded": (180, (*RESTORE, "new.png")),
    "a runtime has nothing left to run in": (330, (*RESTORE, "new.png", "-b", "openvino")),
    "a runtime's threads would wait for ever": (348, (*RESTORE, "new.png", "-b", "openvino")),
}


@pytest.mark.parametrize("line", CAPS)
def test_a_memory_cap_is_called_one(line, place):
    """Never a bug, a damaged artifact or a package that is not installed; the advice is one that can be followed."""
    megabytes, arguments = CAPS[line]
    before = snapshot(place)
    outcome = run_capped(place, megabytes, *arguments)
    assert_told(outcome, 71, "not enough memory", f"{megabytes} MB allowed", "MB used", "ulimit -v")
    assert snapshot(place) == before


# ---- signals ---------------------------------------------------------------------------------------------------------


SIGNALS = {"SIGINT": (130, "interrupted"), "SIGTERM": (143, "terminated"), "SIGHUP": (129, "the terminal was closed")}


@pytest.mark.parametrize("stage", ["loading the model", "lowering"])
@pytest.mark.parametrize("name", SIGNALS)
def test_signals_end_a_run_and_leave_nothing(name, stage, place):
    code, word = SIGNALS[name]
    scratch = place.parent / "scratch"
    scratch.mkdir()
    before = snapshot(place)
    with subprocess.Popen(
        command_line(*EXPORT), cwd=place, env=child_environment(TMPDIR=str(scratch)), stderr=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, preexec_fn=heed_signals,
    ) as process:  # fmt: skip
        said = ""
        while stage not in said:
            said += process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(getattr(signal, name))
        began = time.perf_counter()
        out, err = process.communicate(timeout=120)
        assert time.perf_counter() - began < 60
    assert process.returncode == code, err
    assert f"{word}; nothing was left half done" in err and "Traceback" not in said + err and out == ""
    assert snapshot(place) == before
    assert not list(scratch.glob("elir-edge*"))


def test_a_converter_that_ends_the_process_is_told(place, monkeypatch):
    """A real death in native code, of the process at work: the one that watches it says so and cleans up."""
    from elir_edge.cli.died import how_it_died, sweep_outputs
    from elir_edge.core.watch import watch

    before = snapshot(place)
    for function, status in (("os:abort", -signal.SIGABRT), ("tests.robustness.deaths:exit_at_once", 1)):
        monkeypatch.setenv("PYTHONPATH", child_environment()["PYTHONPATH"])
        ending = watch("tests.robustness.deaths:stage_and_call", [str(place / "new.onnx"), function], {})
        assert (ending.meant, ending.status, ending.asked) == (None, status, None)
        assert snapshot(place) != before, "it dies in the middle of its work"
        sweep_outputs(["export", "-o", str(place / "new.onnx")])
        assert snapshot(place) == before
        error = how_it_died(ending, ["export", "-o", str(place / "new.onnx")])
        assert error.exit_code == 70 and error.hint
        assert ("SIGABRT" if status < 0 else "status 1") in str(error)


def test_no_room_for_temporary_files(place):
    """The converters of some formats end the whole process then."""
    with mount_tmpfs(place.parent / "small", "size=100k") as scratch:
        before = snapshot(place)
        outcome = run_process(*EXPORT, cwd=place, TMPDIR=str(scratch))
        assert_told(outcome, 74, str(scratch), "free some space")
        assert snapshot(place) == before
        assert not list(scratch.glob("elir-edge*"))


# ---- other runs, and what killed ones left ---------------------------------------------------------------------------


def test_two_writers_at_once_are_one_or_told(place):
    commands = [command_line(*RESTORE, "same.png") for _ in range(3)]
    running = [
        subprocess.Popen(command, cwd=place, env=child_environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        for command in commands
    ]
    codes = [process.wait(120) for process in running]
    for process in running:
        process.stdout.close()
        process.stderr.close()
    assert 0 in codes and set(codes) <= {0, 73, 75}
    from elir_edge.imaging.pictures import read_picture

    assert (read_picture(place / "same.png") == read_picture(place / "a.png")).all()
    assert not list(place.glob(".*"))


def test_a_writer_with_another_cache_is_another_run_too(place):
    from elir_edge.core.publish import staging

    with staging(place / "same.png"):
        outcome = run_process(*RESTORE, "same.png", cwd=place, ELIR_EDGE_CACHE=str(place.parent / "elsewhere"))
    assert_told(outcome, 75, "same.png", "another run", "wait for it to end")


def test_what_runs_that_were_killed_left_is_removed_by_any_later_one(place):
    """Also where their outputs had other names."""
    from tests.robustness.deaths import stage_and_stay

    for name in ("one.png", "two.png"):
        stage_and_stay(place / name)
    assert len(list(place.glob(".*"))) == 4
    assert run_process(*RESTORE, "three.png", cwd=place).code == 0
    assert not list(place.glob(".*"))


# ---- what is missing -------------------------------------------------------------------------------------------------

BLOCK = "import os, sys\nfor name in os.environ['BLOCKED'].split():\n    sys.modules[name] = None\n"
OWN_MODEL = ("-p", "tiny.yaml")
TORCH = "pip install 'elir-edge[torch]'"
MISSING = {
    ("torch", ("export", *OWN_MODEL, "-o", "new.onnx")): TORCH,
    ("torch", ("evaluate", *OWN_MODEL)): "pip install 'elir-edge[train]'",
    ("torch", ("inspect", "tiny.yaml")): TORCH,
    ("torch", ("lower", *OWN_MODEL)): TORCH,
    ("torch", ("fit", "tiny.yaml", "--for", "ethos-u55-256")): TORCH,
    ("torch", ("sensitivity", *OWN_MODEL)): TORCH,
    ("torch", ("validate", "good.onnx")): TORCH,
    ("torch", ("restore", "a.png", *OWN_MODEL, "-o", "new.png")): TORCH,
    ("torch", ("train",)): "pip install 'elir-edge[train]'",
    ("skimage", ("evaluate", *OWN_MODEL)): "pip install 'elir-edge[train]'",
    ("onnxruntime", (*RESTORE, "new.png", "-b", "onnxruntime")): "pip install 'elir-edge[run-onnxruntime]'",
    ("openvino", (*RESTORE, "new.png", "-b", "openvino")): "pip install 'elir-edge[run-openvino]'",
}
DISTRIBUTIONS = {"skimage": "scikit-image"}


@pytest.mark.parametrize(
    ("package", "arguments"), MISSING, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_a_missing_extra_is_named_with_what_mends_it(package, arguments, place):
    site = place.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(BLOCK)
    path = os.pathsep.join([str(site), child_environment()["PYTHONPATH"]])
    before = snapshot(place)
    outcome = run_process(*arguments, cwd=place, BLOCKED=package, PYTHONPATH=path)
    named = f"'{DISTRIBUTIONS.get(package, package)}'"
    assert_told(outcome, 69, named, "not installed", MISSING[package, arguments])
    assert snapshot(place) == before


def test_a_home_that_cannot_be_written(place):
    outcome = run_process(*RESTORE, "new.png", cwd=place, HOME="/nonexistent", ELIR_EDGE_CACHE="", XDG_CACHE_HOME="")
    assert outcome.code == 0, outcome.err


@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare")
def test_no_network(place):
    """In a network of its own, without any interface."""
    command = ["unshare", "--net", *command_line(*RESTORE, "new.png")]
    done = subprocess.run(command, cwd=place, env=child_environment(), capture_output=True, text=True)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


def test_a_clock_that_went_back(place):
    """Files of the future are in nobody's way."""
    for path in place.iterdir():
        os.utime(path, (4e9, 4e9))
    assert run_process(*RESTORE, "old.png", "--force", cwd=place).code == 0
    assert (place / "tiny.yaml").read_text() == TINY
