"""Packages that are broken, or that take the name of a preset, are named, and change nothing for other models."""

import sys

import pytest

from elir_edge.cli import run
from elir_edge.errors import ElirEdgeError
from elir_edge.families.registry import get_family
from elir_edge.families.spec import load_spec, packaged_file, preset_names
from tests.helpers import refusal

FAMILY = """
from tests.families.toy import Toy

class Theirs(Toy):
    name, package = "theirs", "their_family"

FAMILY = Theirs()
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write a package with this source and these presets, as an installation would leave it."""

    def write(source, presets=()):
        package, info = tmp_path / "their_family", tmp_path / "their_family-1.0.dist-info"
        (package / "presets").mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        for name in presets:
            (package / "presets" / f"{name}.yaml").write_text(f"{{family: theirs, name: {name}, channels: 4}}")
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-family\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[elir_edge.families]\ntheirs = their_family:FAMILY\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "their_family", raising=False)

    return write


@pytest.mark.parametrize("source", ["import no_such_module", "other = 1", "1 / 0"])
def test_a_broken_package_is_named_where_it_is_asked(source, install, tmp_path, capfd):
    install(source)
    (tmp_path / "mine.yaml").write_text("{name: mine}")
    assert load_spec("nano").name == "nano"
    assert load_spec(tmp_path / "mine.yaml").name == "mine"
    for ask in (lambda: get_family("theirs"), preset_names, lambda: load_spec("another")):
        refusal(
            ElirEdgeError, ask, "entry point their_family:FAMILY", "package their-family", "cannot be loaded", "mend"
        )
    assert run(["presets"]) == ElirEdgeError.exit_code
    assert "a bug" not in capfd.readouterr().err


def test_a_preset_of_another_package_is_found(install):
    install(FAMILY, ["their-model"])
    assert load_spec("their-model").family_name == "toy"
    assert "their-model" in preset_names()


def test_a_preset_of_another_package_takes_no_name(install):
    install(FAMILY, ["nano"])
    assert load_spec("nano").family_name == "elir"
    refusal(ElirEdgeError, preset_names, "'theirs'", "'nano'", "removed")


def test_a_folder_called_as_a_preset_hides_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nano").mkdir()
    assert packaged_file(get_family("elir"), "presets", "nano.yaml").is_file()
    assert run(["inspect", "nano"]) == 0
    assert "GFLOP" in capfd.readouterr().out
