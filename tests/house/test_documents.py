"""The documents are whole: links lead somewhere, commands have options that exist, tables name everything."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib

import click
import pytest

import elir_edge
from elir_edge.cli import COMMANDS
from elir_edge.families.spec import preset_names
from elir_edge.npu.compiler import compilers
from elir_edge.pipeline.target import targets
from elir_edge.runtime.backend import OWN
from tests.house.documents import DOCUMENTS, NAMES, NOT_RUN, ROOT, Document
from tests.house.test_architecture import ORDER

WORDS_OF_README = 1200
BYTES_OF_PICTURE = 300 * 1024
README = Document("README.md")
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)


def test_every_page_is_known_to_these_tests():
    pages = [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))]
    assert sorted(pages) == sorted(NAMES)


def test_readme_is_short():
    assert len(README.text.split()) <= WORDS_OF_README


def test_readme_leads_to_every_page_and_its_pictures_are_small():
    links = {link.partition("#")[0] for link in README.links()}
    assert {name for name in NAMES if name != "README.md"} <= links
    pictures = [ROOT / link for link in links if link.endswith((".png", ".jpg", ".svg"))]
    assert pictures and all(path.stat().st_size <= BYTES_OF_PICTURE for path in pictures)


@every_document
def test_links_lead_somewhere(document):
    for link in document.links():
        name, _, anchor = link.partition("#")
        path = (document.path.parent / name).resolve() if name else document.path
        assert path.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in Document(path.relative_to(ROOT).as_posix()).anchors(), f"{document.name}: {link}"


@every_document
def test_commands_have_options_that_exist(document):
    for command in document.commands():
        check(command, complete=True)
    for command in document.mentions():
        check(command, complete=False)


def test_commands_that_no_test_runs_are_named_with_what_is_tested_instead():
    written = {command for document in DOCUMENTS for command in document.commands()}
    assert written >= NOT_RUN.keys()
    for reason in NOT_RUN.values():
        for path in re.findall(r"tests/[\w/]+\.py", reason):
            assert (ROOT / path).is_file(), path


WRONG = (
    *("elir-edge exprt", "elir-edge export --sise 3", "python -m tests.fuzz all --rnus 3", "make tset"),
    "pip install '.[x]'",
)


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_command_is_found(command):
    with pytest.raises((AssertionError, click.UsageError)):
        check(command, complete=True)


def test_every_target_and_preset_has_a_row():
    text = "\n".join(document.text for document in DOCUMENTS)
    missing = [name for name in (*targets(), *preset_names()) if not re.search(rf"^\| {name}\b", text, re.M)]
    assert missing == [], "targets have a row in README.md, presets in docs/figures.md"


def test_every_backend_is_in_the_table_of_targets():
    names = [backend.name for backend in OWN if backend.name not in ("torch", "coreml")]
    assert [name for name in names if not re.search(rf"^\|.*\b{name}\b", README.text, re.M)] == []


def test_every_compiler_is_in_the_table_of_compilers():
    rows = re.findall(r"^\|.*elir-edge\[([\w-]+)\].*$", Document("docs/npu.md").text, re.M)
    assert sorted(rows) == sorted(compiler.extra for compiler in compilers().values())


def test_every_public_name_is_in_the_table_of_names():
    text = Document("docs/python.md").text
    assert [name for name in elir_edge.__all__ if not re.search(rf"^\|.*`{name}\b", text, re.M)] == []


def test_the_rooms_are_described_and_drawn_in_their_order():
    page = Document("docs/architecture.md")
    assert re.findall(r"^\| `(\w+)` \|", page.text, re.M)[: len(ORDER)] == list(ORDER)
    drawn = re.findall(r'font-weight="bold" fill="#222">([\w, ]+)</text>', (ROOT / "docs/architecture.svg").read_text())
    rooms = [room for names in drawn for room in names.split(", ") if room in ORDER]
    assert rooms == list(ORDER)


def test_every_exit_code_is_listed():
    codes = {error.exit_code for error in vars(elir_edge.errors).values() if hasattr(error, "exit_code")}
    listed = set(map(int, re.findall(r"^\| (\d+)", Document("docs/export.md").text, re.M)))
    assert codes <= listed


def check(command: str, complete: bool) -> None:
    """Raises where a command cannot be: its program, options or extras do not exist.

    ``complete`` False: a command inside a sentence, which may lack its arguments.
    """
    program, *rest = shlex.split(command)
    if program == "make":
        check_make(rest)
    elif program == "pip":
        check_extras(rest)
    elif (program, rest[0], rest[1:2]) == ("python", "-m", ["pytest"]):
        assert all((ROOT / path).exists() for path in rest[2:] if not path.startswith("-")), command
    elif (program, rest) == ("elir-edge", ["--version"]):
        return
    elif program == "python" and rest[1].startswith("tests."):
        check_test_tool(rest[1], rest[2:])
    else:
        parsed, name, arguments = find_command(program, rest)
        try:
            parsed.make_context(name, arguments)
        except click.MissingParameter:
            assert not complete, command


def find_command(program: str, rest: list[str]) -> tuple[click.Command, str, list[str]]:
    """(command, its name, its arguments)."""
    if program == "elir-edge":
        assert rest[0] in COMMANDS, f"there is no command '{rest[0]}'"
        return importlib.import_module(f"elir_edge.cli.{rest[0]}").command, rest[0], rest[1:]
    assert program == "python" and rest[0] == "-m" and rest[1].startswith("benchmarks."), (program, rest)
    return importlib.import_module(rest[1]).main, rest[1], rest[2:]


def check_test_tool(module: str, words: list[str]) -> None:
    """What runs by itself under tests/ parses its own options."""
    path = ROOT.joinpath(*module.split("."))
    source = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    assert all(f'"{word}"' in source for word in words if word.startswith("-")), (module, words)


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, is_variable, _ = word.partition("=")
        pattern = rf"^{name} \?=" if is_variable else rf"^{name}:"
        assert re.search(pattern, makefile, re.M), f"make has no {word}"


def check_extras(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys(), extras
