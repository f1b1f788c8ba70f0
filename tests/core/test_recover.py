"""Journals and notes that this tool did not write: recovery moves and removes nothing because of them."""

from __future__ import annotations

import pytest

from elir_edge.core.commit import JOURNAL, recover
from elir_edge.core.lock import Beside
from tests.artifacts.samples import OLD
from tests.helpers import snapshot


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
