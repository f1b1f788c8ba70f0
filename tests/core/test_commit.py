"""A writer killed at each of its file operations: after the next run there is all of the old, or all of the new."""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
from pathlib import Path

import pytest

from elir_edge.artifacts.artifact import load_artifact
from elir_edge.core.commit import JOURNAL, recover
from elir_edge.core.lock import Beside, locked
from elir_edge.core.publish import copy_in, publish, scratch_folder, staging, write_file, write_in
from elir_edge.errors import ElirEdgeError, LockedError, OutputError, StorageError
from tests.core.killing import moments, survives
from tests.core.test_publish import NEW, OLD, manifest
from tests.helpers import refused, snapshot

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """The system's folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def write_artifact(path: Path, content: bytes, names: tuple[str, ...]) -> None:
    """An artifact of several files made in a scratch folder, as export writes it; of other files none stays."""
    others = [path.parent / name for name in ("a.bin", "a.extra") if name not in names]
    with staging(path) as staged, scratch_folder(staged) as scratch:
        for name in names:
            (scratch / name).write_bytes(content)
        files = [copy_in(scratch / name, staged) for name in names]
        hashes = {name: hashlib.sha256(content).hexdigest() for name in names}
        beside = write_in(staged, f"{path.name}.json", manifest(files=hashes).to_json().encode())
        publish(path, [*files, beside], others)


def write_folder(path: Path, content: bytes) -> None:
    with staging(path) as staged:
        (staged / path.name / "inner").mkdir(parents=True)
        for name in ("x", "y"):
            write_in(staged / path.name / "inner", name, content)
        publish(path, [staged / path.name])


def test_an_artifact_is_the_old_or_the_new_one(tmp_path, temporary):
    place = tmp_path / "place"
    path = place / "a.xml"
    states = []
    for content, names in ((OLD, ("a.xml", "a.bin")), (NEW, ("a.xml", "a.extra"))):
        write_artifact(path, content, names)
        states.append(snapshot(place))
    old, new = states
    found = []

    def put_new() -> None:
        write_artifact(path, NEW, ("a.xml", "a.extra"))

    write_artifact(path, OLD, ("a.xml", "a.bin"))
    for moment in moments(put_new):
        try:
            artifact = load_artifact(path)
            assert len({(place / name).read_bytes() for name in artifact.manifest.files}) == 1
        except ElirEdgeError as error:
            assert error.exit_code in (65, 66), f"{moment}: {error}"
        recover(path)
        found.append(states.index(snapshot(place)))
        assert not list(temporary.iterdir()), f"a scratch folder is left of moment {moment}"
        write_artifact(path, OLD, ("a.xml", "a.bin"))
        assert snapshot(place) == old
    assert found == sorted(found), "a later moment brought back the old artifact"
    assert {0, 1} == set(found)
    put_new()
    assert snapshot(place) == new


def test_the_next_writer_finds_nothing_in_its_way(tmp_path, temporary):
    place = tmp_path / "place"
    path = place / "a.xml"
    write_artifact(path, NEW, ("a.xml", "a.bin"))
    whole = snapshot(place)
    for _ in moments(lambda: write_artifact(path, OLD, ("a.xml", "a.extra"))):
        write_artifact(path, NEW, ("a.xml", "a.bin"))
        assert snapshot(place) == whole
        assert not list(temporary.iterdir())


def test_a_folder_is_the_old_or_the_new_one(tmp_path):
    place = tmp_path / "place"
    path = place / "package"
    states = []
    for content in (OLD, NEW):
        write_folder(path, content)
        states.append(snapshot(place))
    found = set()
    write_folder(path, OLD)
    for _ in moments(lambda: write_folder(path, NEW)):
        recover(path)
        found.add(states.index(snapshot(place)))
        write_folder(path, OLD)
    assert found == {0, 1}


def test_a_first_artifact_is_whole_or_not_there(tmp_path):
    place = tmp_path / "place"
    path = place / "a.xml"
    seen = set()
    for _ in moments(lambda: write_artifact(path, NEW, ("a.xml", "a.bin"))):
        recover(path)
        seen.add(tuple(snapshot(place)))
        assert snapshot(place) == {} or load_artifact(path)
        for file in place.glob("*"):
            file.unlink()
    assert seen == {(), ("a.bin", "a.xml", "a.xml.json")}


def test_a_single_file_is_the_old_or_the_new_one_at_once(tmp_path):
    path = tmp_path / "place" / "a.png"
    write_file(path, OLD)
    for _ in moments(lambda: write_file(path, NEW)):
        assert path.read_bytes() in (OLD, NEW)
        recover(path)
        assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_a_killed_recovery_is_finished_by_the_next(tmp_path):
    place = tmp_path / "place"
    path = place / "a.xml"
    write_artifact(path, NEW, ("a.xml", "a.bin"))
    new = snapshot(place)
    write_artifact(path, OLD, ("a.xml", "a.bin"))
    for moment in itertools.count(1):
        assert not survives(lambda: write_artifact(path, NEW, ("a.xml", "a.bin")), moment)
        if Beside(path).commit.is_dir():
            break
        write_artifact(path, OLD, ("a.xml", "a.bin"))
    again = 1
    while not survives(lambda: recover(path), again):
        again += 1
    assert again > 10
    assert snapshot(place) == new


def test_an_error_while_moving_in_puts_everything_back(tmp_path, monkeypatch):
    place = tmp_path / "place"
    path = place / "a.xml"
    write_artifact(path, OLD, ("a.xml", "a.bin"))
    before = snapshot(place)
    rename = Path.rename
    for failing in ("a.xml", "a.extra", "a.bin", "a.xml.json"):

        def fails(source, target, failing=failing):
            if Path(source).name == failing and Beside(path).commit in (source.parent, Path(target).parents[1]):
                raise PermissionError(13, "Permission denied")
            return rename(source, target)

        monkeypatch.setattr(Path, "rename", fails)
        refused(OutputError, lambda: write_artifact(path, NEW, ("a.xml", "a.extra")), "a.xml", "Permission denied")
        monkeypatch.setattr(Path, "rename", rename)
        assert snapshot(place) == before


def test_what_cannot_be_put_back_is_moved_in_by_the_next_run(tmp_path, monkeypatch):
    place = tmp_path / "place"
    path = place / "a.xml"
    write_artifact(path, NEW, ("a.xml", "a.bin"))
    new = snapshot(place)
    write_artifact(path, OLD, ("a.xml", "a.bin"))
    rename, broken = Path.rename, []

    def fails(source, target):
        broken.extend([source] if source.name == "a.bin" and source.parent == Beside(path).commit else [])
        if broken:
            raise OSError(5, "Input/output error")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", fails)
    refused(StorageError, lambda: write_artifact(path, NEW, ("a.xml", "a.bin")), "a.xml", "Input/output error")
    monkeypatch.setattr(Path, "rename", rename)
    recover(path)
    assert snapshot(place) == new


def test_a_running_writers_folders_are_left_alone(tmp_path, temporary):
    path = tmp_path / "place" / "a.xml"
    with staging(path) as staged, scratch_folder(staged) as scratch:
        recover(path)
        assert staged.is_dir() and scratch.is_dir()
        refused(LockedError, lambda: write_file(path, NEW), "a.xml", "another run")
        assert staged.is_dir() and scratch.is_dir()


def test_names_that_begin_alike_stay_apart(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    one, other = (place / f"{'n' * 60}{ending}" for ending in "ab")
    with locked(one), locked(other):
        assert len(list(place.iterdir())) == 2
    assert not list(place.iterdir())


@pytest.mark.parametrize(
    "journal", ["", "[]", "{}", '{"names": ["../a"], "gone": []}', '{"names": [], "gone": ["/a"]}']
)
def test_a_journal_of_somebody_else_moves_nothing(journal, tmp_path):
    (tmp_path / "a").write_bytes(OLD)
    path = tmp_path / "place" / "a.xml"
    commit = Beside(path).commit
    commit.mkdir(parents=True)
    (commit / JOURNAL).write_text(journal)
    recover(path)
    assert snapshot(tmp_path / "place") == {}
    assert (tmp_path / "a").read_bytes() == OLD


@pytest.mark.parametrize("note", ["", "/", "somewhere", "outside"])
def test_a_scratch_note_of_somebody_else_removes_nothing(note, tmp_path):
    path = tmp_path / "place" / "a.xml"
    outside = tmp_path / "outside"
    outside.mkdir()
    Beside(path).part.mkdir(parents=True)
    (Beside(path).part / ".elir-edge-scratch").write_text(str(outside) if note == "outside" else note)
    recover(path)
    assert outside.is_dir()
    assert snapshot(tmp_path / "place") == {}
