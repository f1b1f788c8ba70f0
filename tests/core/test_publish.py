"""Writing: readers see the old file or the new one, never a part of one, and no other file changes."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from elir_edge.core.publish import check_place, copy_in, publish, staging, write_file, write_in
from elir_edge.core.storage import storage_error
from elir_edge.errors import LockedError, OutputError, StorageError
from tests.helpers import child_environment, refusal, run_process, snapshot

OLD, NEW = b"old" * 1000, b"new" * 1000


@contextmanager
def mount_tmpfs(folder: Path, *options: str):
    """Mount a small file system at ``folder``; skips the test if mounting is not permitted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_file_is_there_in_one_step(tmp_path):
    write_file(tmp_path / "new folder" / "a.bin", NEW)
    assert snapshot(tmp_path) == {"new folder": "folder", "new folder/a.bin": hashlib.sha256(NEW).hexdigest()}


def test_an_error_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_file(path, OLD)
    before = snapshot(tmp_path)
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        for target in (path, tmp_path / "made" / "for" / "it"):
            with pytest.raises(error), staging(target) as folder:
                write_in(folder, target.name, NEW)
                raise error
            assert snapshot(tmp_path) == before


def test_nothing_is_published_where_one_target_is_a_folder(tmp_path):
    (tmp_path / "a.bin").write_bytes(OLD)
    (tmp_path / "b.bin").mkdir()
    with staging(tmp_path / "a.bin") as folder:
        files = [write_in(folder, name, NEW) for name in ("a.bin", "b.bin")]
        refusal(OutputError, lambda: publish(tmp_path / "a.bin", files), "b.bin", "is a folder")
    assert (tmp_path / "a.bin").read_bytes() == OLD
    assert set(snapshot(tmp_path)) == {"a.bin", "b.bin"}


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "precious").write_bytes(OLD)
    for name, target in (("live", "precious"), ("dangling", "nowhere"), ("loop", "loop")):
        (tmp_path / name).symlink_to(target)
        write_file(tmp_path / name, NEW)
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_bytes() == NEW
    assert (tmp_path / "precious").read_bytes() == OLD
    assert not (tmp_path / "nowhere").exists()


def test_a_hard_link_keeps_its_content(tmp_path):
    (tmp_path / "precious").write_bytes(OLD)
    (tmp_path / "a.bin").hardlink_to(tmp_path / "precious")
    write_file(tmp_path / "a.bin", NEW)
    assert (tmp_path / "precious").read_bytes() == OLD


HOLD = """
import sys
from pathlib import Path
from elir_edge.core.publish import staging
with staging(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "a.bin"
    command = [sys.executable, "-c", HOLD, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=child_environment(), **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        (tmp_path / "same place").symlink_to(tmp_path)
        for spelling in (path, tmp_path / "same place" / "a.bin"):
            error = refusal(LockedError, lambda spelling=spelling: write_file(spelling, NEW), "a.bin", "another run")
            assert error.exit_code == 75
        write_file(tmp_path / "b.bin", NEW)
        other.stdin.close()
    write_file(path, NEW)
    assert path.read_bytes() == NEW


def test_a_killed_writers_lock_is_free(tmp_path):
    path = tmp_path / "a.bin"
    command = [sys.executable, "-c", HOLD, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=child_environment(), **pipes) as other:
        other.stdout.readline()
        other.kill()
    write_file(path, NEW)
    assert path.read_bytes() == NEW


# ---- places that cannot be written ---------------------------------------------------------------------------------


def test_a_full_disk(tmp_path):
    with mount_tmpfs(tmp_path / "small", "size=1m") as folder:
        write_file(folder / "a.bin", OLD)
        before = snapshot(folder)
        error = refusal(StorageError, lambda: write_file(folder / "a.bin", bytes(2 << 20)), "a.bin", "free some space")
        assert error.exit_code == 74
        big = tmp_path / "big.bin"
        big.write_bytes(bytes(2 << 20))
        with staging(folder / "b.bin") as staged:
            refusal(StorageError, lambda: copy_in(big, staged), "big.bin", "No space left")
        assert snapshot(folder) == before


def test_no_inode_left(tmp_path):
    with mount_tmpfs(tmp_path / "small", "size=1m", "nr_inodes=4") as folder:
        for name in "abc":
            (folder / name).write_bytes(b"")
        for call in (check_place, lambda path: write_file(path, NEW)):
            assert refusal(StorageError, lambda call=call: call(folder / "d"), "No space left").exit_code == 74
        assert set(snapshot(folder)) == {"a", "b", "c"}


def test_a_read_only_place(tmp_path):
    with mount_tmpfs(tmp_path / "fixed", "size=1m", "ro") as folder:
        for path in (folder / "a.bin", folder / "new" / "a.bin"):
            for call in (check_place, lambda path: write_file(path, NEW)):
                error = refusal(OutputError, lambda call=call, path=path: call(path), "a.bin", "Read-only", "-o")
                assert error.exit_code == 73


@pytest.mark.parametrize("command", ["export", "restore"])
def test_a_read_only_place_is_told_before_anything_heavy(command, tmp_path):
    picture = Path(__file__).parents[2] / "elir_edge" / "imaging" / "data" / "coffee.jpg"
    given = {"export": (), "restore": (picture,)}[command]
    name = {"export": "a.onnx", "restore": "a.png"}[command]
    with mount_tmpfs(tmp_path / "fixed", "size=1m", "ro") as folder:
        began = os.times()
        outcome = run_process(command, *given, "-o", folder / name, PYTHONPROFILEIMPORTTIME="1")
        assert os.times().children_user - began.children_user < 2
    assert outcome.code == 73
    told = [line for line in outcome.err.splitlines() if not line.startswith("import time:")]
    assert told == [
        f"elir-edge: {folder / name}: cannot write there (Read-only file system)",
        "  -> choose another place with -o",
    ]
    assert not any(line.split("|")[-1].strip() in ("torch", "onnx") for line in outcome.err.splitlines())


def test_places_that_are_none(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "loop").symlink_to("loop")
    long = tmp_path / ("n" * 256)
    for path in (tmp_path / "file" / "a.bin", tmp_path / "loop" / "a.bin", long):
        assert refusal(OutputError, lambda path=path: write_file(path, NEW), path.name).exit_code == 73
    refusal(OutputError, lambda: check_place(tmp_path / "file" / "a.bin"), "a.bin")
    assert set(snapshot(tmp_path)) == {"file", "loop"}


def test_a_place_that_is_fine_stays_empty(tmp_path):
    check_place(tmp_path / "deep" / "deeper" / "a.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "number, kind", [(errno.EACCES, OutputError), (errno.EROFS, OutputError), (errno.EIO, StorageError)]
)
def test_what_the_system_says_decides(number, kind):
    error = storage_error(Path("a.bin"), OSError(number, os.strerror(number)))
    assert type(error) is kind and "a.bin" in str(error) and os.strerror(number) in str(error)
