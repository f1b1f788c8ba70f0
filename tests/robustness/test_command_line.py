"""The command line: options, names, outputs that are in the way, streams that are closed."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from elir_edge.imaging.pictures import read_picture
from tests.helpers import Outcome, child_environment, command_line, run_process, save_picture, snapshot
from tests.robustness.faults import Fault, assert_refused, assert_told

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24
RESTORE = ("restore", "a.png", "-a", "good.onnx", "-o")
LONG = "n" * 250
LINES = {
    "an unknown option": (2, ("export", "--taget", "onnx"), "--taget", "--target"),
    "an unknown command": (2, ("exprot",), "exprot", "did you mean 'export'?"),
    "an artifact and a size": (2, (*RESTORE, "new.png", "--size", "64"), "--artifact brings its own model"),
    "an artifact and weights": (2, (*RESTORE, "new.png", "-w", "random:0"), "--weights"),
    "a seed that has no effect": (2, (*RESTORE, "new.png", "--seed", "3"), "--seed", "leave it out"),
    "output equals input": (2, ("restore", "a.png", "-a", "good.onnx", "-o", "a.png"), "a.png", "the picture itself"),
    "an empty output": (2, (*RESTORE, ""), "--out", "the name is empty"),
    "an empty output of an export": (2, ("export", "-p", "tiny.yaml", "-o", ""), "--out", "the name is empty"),
    "an empty picture": (2, ("restore", "", "-a", "good.onnx", "-o", "new.png"), "the name is empty"),
    "output is there": (73, (*RESTORE, "old.png"), "old.png", "--force replaces it"),
    "artifact is there": (73, ("export", "-p", "tiny.yaml", "-o", "old.onnx"), "old.onnx", "--force replaces it"),
    "255 bytes, and more beside it": (73, ("export", "-p", "tiny.yaml", "-o", LONG + ".onnx"), "too long", "-o"),
    "below a file": (73, (*RESTORE, "a.png/new.png"), "a.png/new.png", "choose another place"),
    "a missing checkpoint": (66, ("export", "-p", "tiny.yaml", "-w", "no.pth"), "no.pth", "no such checkpoint"),
    "no server": (69, ("export", "-p", "tiny.yaml", "-w", "http://127.0.0.1:9/a.pth"), "127.0.0.1:9", "--weights"),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_refused(line, place, run):
    code, arguments, *named = LINES[line]
    assert_refused(Fault(code, arguments, tuple(named)), place, run)


NAMES = {
    "spaces": "my holiday  picture .png",
    "emoji": "🏔️ été ☕.png",
    "newline": "two\nlines.png",
    "255 bytes": "n" * 251 + ".png",
    "markup": "[red]no colour[bold].png",
    "no UTF-8": os.fsdecode(b"caf\xe9.png"),
    "percent": "%s %d {0}.png",
}


@pytest.mark.parametrize("line", NAMES)
def test_names(line, place, run):
    pixels = save_picture(place / NAMES[line])
    outcome = run("restore", NAMES[line], "-a", "good.onnx", "-o", place / "out" / NAMES[line])
    assert outcome.code == 0, outcome.err
    assert np.array_equal(read_picture(place / "out" / NAMES[line]), pixels)
    assert [path.name for path in (place / "out").iterdir()] == [NAMES[line]]


def test_a_leading_dash(place, run):
    pixels = save_picture(place / "-o.png")
    assert run("restore", "-a", "good.onnx", "-o", "-x.png", "--", "-o.png").code == 0
    assert np.array_equal(read_picture(place / "-x.png"), pixels)


@pytest.mark.parametrize("target", ["a.png", "nowhere.png", "link.png"])
def test_a_link_is_never_written_through(target, place, run):
    (place / "link.png").symlink_to(target)
    before = snapshot(place)
    assert_told(run(*RESTORE, "link.png"), 73 if target != "a.png" else 2, "link.png")
    assert snapshot(place) == before
    if target != "a.png":
        assert run(*RESTORE, "link.png", "--force").code == 0
        assert not (place / "link.png").is_symlink()
        assert {name: what for name, what in snapshot(place).items() if name != "link.png"} == {
            name: what for name, what in before.items() if name != "link.png"
        }


# ---- processes of their own ------------------------------------------------------------------------------------------


def with_streams(place: Path, redirection: str, *arguments: str) -> Outcome:
    """Run the tool behind a shell's redirection."""
    command = f'exec "$@" {redirection}'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *command_line(*arguments)], cwd=place, env=child_environment(), capture_output=True
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


STREAMS = ("2>&-", "2>/dev/full", "<&-", "<&- 2>&-", "2>/dev/null | head -c 0")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("redirection", STREAMS)
def test_streams_that_nobody_reads_stop_nothing(redirection, place):
    outcome = with_streams(place, redirection, *RESTORE, "new.png")
    assert outcome.code == 0, outcome.err
    assert np.array_equal(read_picture(place / "new.png"), read_picture(place / "a.png"))
    before = snapshot(place)
    if "|" not in redirection:
        assert with_streams(place, redirection, *RESTORE, "old.png").code == 73
    assert snapshot(place) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_results_that_cannot_be_written_are_told(place):
    assert_told(with_streams(place, ">/dev/full", "presets"), 74, "No space left", "free some space")


def test_without_utf8(place):
    outcome = run_process("restore", "🏔️.png", "-o", "x.png", cwd=place, LC_ALL="C", PYTHONUTF8="0")
    assert_told(outcome, 66, "no such picture", ".png")


def heeding_permissions() -> None:
    """Root may read everything, unless these two capabilities are taken from what it starts."""
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


UNREADABLE = {
    "a.png": RESTORE,
    "good.onnx": RESTORE,
    "good.onnx.json": RESTORE,
    "tiny.yaml": ("export", "-p", "tiny.yaml", "-o"),
    "own.pth": ("export", "-p", "tiny.yaml", "-w", "own.pth", "-o"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_may_not_be_read(name, place):
    (place / "own.pth").write_bytes(b"PK")
    before = snapshot(place)
    (place / name).chmod(0)
    output = "new.png" if UNREADABLE[name] is RESTORE else "new.onnx"
    done = subprocess.run(
        command_line(*UNREADABLE[name], output), cwd=place, env=child_environment(), capture_output=True, text=True,
        preexec_fn=heeding_permissions,
    )  # fmt: skip
    outcome = Outcome(done.returncode, "", done.stderr)
    assert_told(
        outcome, 65 if name == "a.png" else 66, name, "Permission denied" if name != "a.png" else "cannot be read"
    )
    (place / name).chmod(0o644)
    assert snapshot(place) == before
