"""What is done already is not done again: by content, after changes, and after a run that was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elir_edge.core.journal import NAME, Journal
from elir_edge.errors import LockedError, OutputError
from elir_edge.runtime.batch import locked_journal, run_pictures
from elir_edge.runtime.plan import plan_pictures
from elir_edge.runtime.settings import Settings
from tests.helpers import child_environment, refusal, save_picture, snapshot
from tests.runtime.folders import make_folder, run_folder
from tests.sessions import IdentitySession


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path)


# ---- again ----------------------------------------------------------------------------------------------------------


def test_what_is_done_is_skipped_by_content(folder, tmp_path):
    out = tmp_path / "out"
    assert [result.skipped for result in run_folder(folder, out)] == [False, False]
    first = snapshot(out)
    assert [result.skipped for result in run_folder(folder, out)] == [True, True]
    assert snapshot(out) == first
    os.utime(folder / "a.png")
    assert [result.skipped for result in run_folder(folder, out)] == [True, True], "times mean nothing"
    (out / "a.png").unlink()
    assert [result.skipped for result in run_folder(folder, out)] == [False, True]
    assert snapshot(out).keys() == first.keys()


@pytest.mark.parametrize("change", ["picture", "artifact", "settings"])
def test_something_else_of_the_same_name_is_not_replaced_unless_forced(change, folder, tmp_path):
    out = tmp_path / "out"
    run_folder(folder, out)
    before = snapshot(out)
    if change == "picture":
        save_picture(folder / "a.png", seed=9)
    more = {"artifact": {"artifact": "other"}, "settings": {"quality": 3}}.get(change, {})
    results = run_folder(folder, out, **more)
    assert "from another picture, artifact or settings" in results[0].error and results[0].exit_code == 73
    assert snapshot(out) == before
    forced = run_folder(folder, out, force=True, **more)
    assert [(result.error, result.skipped) for result in forced] == [(None, False)] * 2


def test_a_changed_result_is_nobody_s(folder, tmp_path):
    out = tmp_path / "out"
    run_folder(folder, out)
    (out / "a.png").write_text("edited by hand")
    assert "is there already" in run_folder(folder, out)[0].error
    assert (out / "a.png").read_text() == "edited by hand"


def test_a_foreign_file_in_the_way_is_refused_before_any_work(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").write_text("precious")
    refusal(OutputError, lambda: run_folder(folder, tmp_path / "out"), "b.png", "--force")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_a_torn_journal_loses_only_its_last_line(tmp_path):
    journal = Journal(tmp_path)
    (tmp_path / "a").write_text("a")
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    journal.add(tmp_path / "a", "key", digest)
    with (tmp_path / NAME).open("a") as file:
        file.write('{"name": "b", "ke')
    again = Journal(tmp_path)
    again.add(tmp_path / "c", "other", digest)
    assert Journal(tmp_path).is_done(tmp_path / "a", "key") and Journal(tmp_path).lists(tmp_path / "c")
    assert not Journal(tmp_path).is_done(tmp_path / "a", "another key")


def test_one_run_at_a_time(folder, tmp_path):
    with locked_journal(tmp_path / "out"):
        refusal(LockedError, lambda: run_folder(folder, tmp_path / "out"), "another run")


KILLED = """
import sys, time
from pathlib import Path
from elir_edge.runtime.settings import Settings
from tests.runtime.folders import run_folder
from tests.sessions import IdentitySession

def slow(image):
    time.sleep(0.02)
    return image

print("ready", flush=True)
run_folder(Path(sys.argv[1]), Path(sys.argv[2]), [IdentitySession(function=slow)])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
@pytest.mark.parametrize("wait", [3, 11])
def test_a_killed_run_is_gone_on_with(wait, tmp_path):
    """Nothing twice, nothing half-written: what the killed run finished stays as it is, byte and time."""
    source, out, count = tmp_path / "in", tmp_path / "out", 40
    source.mkdir()
    saved = {f"{i:03}.png": save_picture(source / f"{i:03}.png", seed=i) for i in range(count)}
    arguments = [sys.executable, "-c", KILLED, str(source), str(out)]
    with subprocess.Popen(arguments, env=child_environment(), stdout=subprocess.PIPE, cwd=tmp_path) as process:
        process.stdout.readline()
        while len(list(out.glob("*.png"))) < wait:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    finished = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert wait <= len(finished) < count
    results = run_folder(source, out)
    assert {Path(result.source).name for result in results if result.skipped} == set(finished)
    assert {path.name for path in out.glob("[!.]*")} == set(saved)
    assert {name: (out / name).stat().st_mtime_ns for name in finished} == finished
    assert [path.name for path in out.glob(".*")] == [NAME]
    noted = [json.loads(line)["name"] for line in (out / NAME).read_text().splitlines()]
    assert set(noted) == set(saved) and len(noted) <= count + 3


def test_a_run_into_its_own_folder_is_gone_on_with(tmp_path):
    """Results beside their sources are no sources of the same command given again."""
    save_picture(tmp_path / "a.png", seed=0)
    for skipped in (False, True):
        plan = plan_pictures([tmp_path], tmp_path, "webp", False, False)
        assert [target.name for _, target in plan.pairs] == ["a.webp"]
        with locked_journal(tmp_path) as journal:
            [result] = run_pictures([*plan.pairs], [IdentitySession()], "", Settings(), journal)
        assert (result.error, result.skipped) == (None, skipped)


def test_results_of_another_command_are_sources_of_this_one(tmp_path):
    """What was restored into a folder may be converted there, and a new original under an old name is restored."""
    (tmp_path / "raw").mkdir()
    save_picture(tmp_path / "raw" / "x.png", seed=0)
    out = tmp_path / "edited"
    run_folder(tmp_path / "raw", out)
    save_picture(out / "y.png", seed=1)
    plan = plan_pictures([out], out, "webp", False, False)
    assert [target.name for _, target in plan.pairs] == ["x.webp", "y.webp"]
