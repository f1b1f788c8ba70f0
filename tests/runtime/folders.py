"""Folders of pictures, restored by an identity."""

from __future__ import annotations

from pathlib import Path

from elir_edge.runtime.batch import locked_journal, run_pictures
from elir_edge.runtime.plan import plan_pictures
from elir_edge.runtime.settings import Settings
from tests.helpers import save_picture
from tests.sessions import IdentitySession


def run_folder(source: Path, out: Path, sessions=None, artifact="identity", recursive=False, **settings):
    """What becomes of each picture."""
    chosen = Settings(**settings)
    plan = plan_pictures([source], out, None, recursive, chosen.force)
    with locked_journal(out) as journal:
        return list(run_pictures([*plan.pairs], sessions or [IdentitySession()], artifact, chosen, journal))


def make_folder(tmp_path: Path) -> Path:
    """Pictures in a folder and the folders inside it, a hidden one, and text."""
    path = tmp_path / "in"
    (path / "inner" / "most").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "inner/c.png", "inner/most/d.png", ".hidden.png")):
        save_picture(path / name, seed=i)
    (path / "notes.txt").write_text("no picture")
    return path
