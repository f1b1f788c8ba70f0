"""Writers killed at random moments: ``python -m tests.robustness.kills WRITER --times N``.

After each kill the output is absent or whole; the next run succeeds; nothing is left that grows.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from elir_edge.artifacts.artifact import load_artifact
from elir_edge.core.commit import sweep
from elir_edge.errors import ElirEdgeError
from elir_edge.imaging.pictures import read_picture
from tests.helpers import child_environment, command_line, save_picture
from tests.robustness.faults import TINY, write_onnx

FIRST_SHARE = 0.05  # of a whole run's time: the interpreter starts


@dataclass(frozen=True)
class Writer:
    """A command that writes ``output`` in the current folder; ``check`` raises where what is there is not whole."""

    arguments: tuple[str, ...]
    output: str
    check: Callable[[Path], object]


def check_package(path: Path) -> None:
    """Every file that the record names has the content it states."""
    import hashlib
    import json

    record = json.loads((path / "elir_package.json").read_text())
    for name, digest in record["files"].items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest, name


WRITERS = {
    "restore": Writer(("restore", "a.png", "-a", "good.onnx", "-o", "new.png"), "new.png", read_picture),
    "export": Writer(("export", "-p", "tiny.yaml", "-o", "new.onnx"), "new.onnx", load_artifact),
    "export openvino": Writer(("export", "-p", "tiny.yaml", "-t", "openvino", "-o", "n.xml"), "n.xml", load_artifact),
    "package": Writer(("package", "tiny.tflite", "--lang", "c", "-o", "package"), "package", check_package),
}


def prepare(folder: Path) -> None:
    """What the writers read."""
    (folder / "tiny.yaml").write_text(TINY)
    save_picture(folder / "a.png")
    write_onnx(folder / "good.onnx")


def kill_often(writer: Writer, place: Path, times: int, seed: int = 0) -> Counter[str]:
    """Kill ``writer`` ``times`` times in ``place``, and let it end in between; how often what was found after."""
    moments, found, scratch = random.Random(seed), Counter[str](), place.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    before = {path.name for path in place.iterdir()}
    whole = _run_to_the_end(writer, place, scratch)
    names = {path.name for path in place.iterdir()}
    for number in range(times):
        if number % 2:  # every other time there is nothing to replace
            _remove(place, names - before)
        state = place / writer.output
        old = state.exists()
        with _start(writer, place, scratch) as process:
            time.sleep(moments.uniform(FIRST_SHARE, 1.0) * whole)
            process.send_signal(signal.SIGKILL)
        with _temporary_files_in(scratch):
            found[_state_of(writer, place, old)] += 1
        whole = min(whole, _run_to_the_end(writer, place, scratch))
        writer.check(state)
        assert {path.name for path in place.iterdir()} == names, "something is left"
        assert not list(scratch.glob("elir-edge*")), "a scratch folder is left"
    return found


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """A sweep removes scratch folders in the folder for temporary files only: that of the runs, here too."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _state_of(writer: Writer, place: Path, old: bool) -> str:
    """What a kill left for the user: ``whole`` or ``absent``. A result that was complete may be finished first."""
    _wait_for_the_worker(place)
    sweep(place)
    if not (place / writer.output).exists():
        assert not old, "what was there before is lost"
        return "absent"
    writer.check(place / writer.output)
    return "whole"


def _wait_for_the_worker(place: Path) -> None:
    """It dies with the process that watches it; the system may take a moment."""
    from elir_edge.core.lock import hold, leftovers

    for left in leftovers(place):
        with hold(left, wait=True):
            pass


def _start(writer: Writer, place: Path, scratch: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command_line(*writer.arguments, "--force"), cwd=place, env=child_environment(TMPDIR=str(scratch)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _run_to_the_end(writer: Writer, place: Path, scratch: Path) -> float:
    """Seconds that a run takes which nobody kills."""
    began = time.perf_counter()
    done = subprocess.run(
        command_line(*writer.arguments, "--force"), cwd=place, env=child_environment(TMPDIR=str(scratch)),
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the run after a kill failed: {done.stderr}")
    return time.perf_counter() - began


def _remove(place: Path, names: set[str]) -> None:
    import shutil

    for name in names:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def main() -> int:
    """Print how often what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.kills")
    parser.add_argument("writer", choices=[name for name in WRITERS if name != "package"])
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "place"
        place.mkdir()
        prepare(place)
        try:
            found = kill_often(WRITERS[given.writer], place, given.times)
        except (AssertionError, ElirEdgeError, RuntimeError) as error:
            sys.stdout.write(f"{given.writer}: {error}\n")
            return 1
    sys.stdout.write(f"{given.writer}: killed {given.times} times; then {dict(found)}, and the next run succeeded\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
