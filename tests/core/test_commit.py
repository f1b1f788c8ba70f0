"""A writer is killed before each of its file operations: the next run leaves the whole old result or the whole new."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import pytest

from elir_edge.artifacts.artifact import load_artifact
from elir_edge.core.child import Child
from elir_edge.core.commit import recover
from elir_edge.core.lock import Beside, hold_lock
from elir_edge.core.publish import scratch_folder, staging, write_file
from elir_edge.errors import ElirEdgeError, LockedError, OutputError, StorageError
from tests.artifacts.samples import NEW, OLD, write_artifact, write_folder
from tests.helpers import refusal, snapshot

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")


class Killer(Child):
    """Asks the process of ``tests.core.killing`` to run a writer and kill it."""

    def survives(self, moment: int, work: str, path: Path, *arguments: bytes | tuple[str, ...]) -> bool:
        """Whether the work comes to its end before its file operation number ``moment``, where it would be killed."""
        given = [item.decode() if isinstance(item, bytes) else item for item in arguments]
        question = {"work": work, "path": str(path), "arguments": given, "moment": moment}
        return self.ask(question | {"temporary": tempfile.gettempdir()})["survives"]

    def moments(self, work: str, path: Path, *arguments: bytes | tuple[str, ...]):
        """Kill ``work`` at its first operation, its second ... until it gets to its end; gives the number each time."""
        for moment in itertools.count(1):
            if self.survives(moment, work, path, *arguments):
                assert moment > 10, "the writer was not killed at all"
                return
            yield moment


@pytest.fixture(scope="module")
def killer():
    child = Killer("tests.core.killing:serve", {}, "the process that forks writers")
    yield child
    child.close()


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """The system's folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_an_artifact_is_the_old_or_the_new_one(killer, tmp_path, temporary):
    place = tmp_path / "place"
    path = place / "a.xml"
    states = []
    for content, names in ((OLD, ("a.xml", "a.bin")), (NEW, ("a.xml", "a.extra"))):
        write_artifact(path, content, names)
        states.append(snapshot(place))
    old, new = states
    found = []

    write_artifact(path, OLD, ("a.xml", "a.bin"))
    for moment in killer.moments("write_artifact", path, NEW, ("a.xml", "a.extra")):
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
    write_artifact(path, NEW, ("a.xml", "a.extra"))
    assert snapshot(place) == new


def test_the_next_writer_finds_nothing_in_its_way(killer, tmp_path, temporary):
    place = tmp_path / "place"
    path = place / "a.xml"
    write_artifact(path, NEW, ("a.xml", "a.bin"))
    whole = snapshot(place)
    for _ in killer.moments("write_artifact", path, OLD, ("a.xml", "a.extra")):
        write_artifact(path, NEW, ("a.xml", "a.bin"))
        assert snapshot(place) == whole
        assert not list(temporary.iterdir())


def test_a_folder_is_the_old_or_the_new_one(killer, tmp_path):
    place = tmp_path / "place"
    path = place / "package"
    states = []
    for content in (OLD, NEW):
        write_folder(path, content)
        states.append(snapshot(place))
    found = set()
    write_folder(path, OLD)
    for _ in killer.moments("write_folder", path, NEW):
        recover(path)
        found.add(states.index(snapshot(place)))
        write_folder(path, OLD)
    assert found == {0, 1}


def test_a_first_artifact_is_whole_or_not_there(killer, tmp_path):
    place = tmp_path / "place"
    path = place / "a.xml"
    seen = set()
    for _ in killer.moments("write_artifact", path, NEW, ("a.xml", "a.bin")):
        recover(path)
        seen.add(tuple(snapshot(place)))
        assert snapshot(place) == {} or load_artifact(path)
        for file in place.glob("*"):
            file.unlink()
    assert seen == {(), ("a.bin", "a.xml", "a.xml.json")}


def test_a_single_file_is_the_old_or_the_new_one_at_once(killer, tmp_path):
    path = tmp_path / "place" / "a.png"
    write_file(path, OLD)
    for _ in killer.moments("write_file", path, NEW):
        assert path.read_bytes() in (OLD, NEW)
        recover(path)
        assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_a_killed_recovery_is_finished_by_the_next(killer, tmp_path):
    place = tmp_path / "place"
    path = place / "a.xml"
    write_artifact(path, NEW, ("a.xml", "a.bin"))
    new = snapshot(place)
    write_artifact(path, OLD, ("a.xml", "a.bin"))
    for moment in itertools.count(1):
        assert not killer.survives(moment, "write_artifact", path, NEW, ("a.xml", "a.bin"))
        if Beside(path).commit.is_dir():
            break
        write_artifact(path, OLD, ("a.xml", "a.bin"))
    again = 1
    while not killer.survives(again, "recover", path):
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
        refusal(OutputError, lambda: write_artifact(path, NEW, ("a.xml", "a.extra")), "a.xml", "Permission denied")
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
    refusal(StorageError, lambda: write_artifact(path, NEW, ("a.xml", "a.bin")), "a.xml", "Input/output error")
    monkeypatch.setattr(Path, "rename", rename)
    recover(path)
    assert snapshot(place) == new


def test_a_running_writers_folders_are_left_alone(tmp_path, temporary):
    path = tmp_path / "place" / "a.xml"
    with staging(path) as staged, scratch_folder(staged) as scratch:
        recover(path)
        assert staged.is_dir() and scratch.is_dir()
        refusal(LockedError, lambda: write_file(path, NEW), "a.xml", "another run")
        assert staged.is_dir() and scratch.is_dir()


def test_names_that_begin_alike_stay_apart(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    one, other = (place / f"{'n' * 60}{ending}" for ending in "ab")
    with hold_lock(one), hold_lock(other):
        assert len(list(place.iterdir())) == 2
    assert not list(place.iterdir())
