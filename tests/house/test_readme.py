"""Every command in README.md works as written, in the order in which a reader meets them."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from elir_edge.imaging.pictures import builtin_photograph, read_picture, write_picture

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
NOT_RUN_HERE = {
    "make test": "it is what runs this test",
    "elir-edge fit sr --size 128 --for ethos-u55-256": "it does not fit: exit status 1; tests/test_fit.py",
    "elir-edge compile nano-int8.onnx --for htp-v75 -o nano-v75.onnx": "its compiler is large; tests/test_compile.py",
    "elir-edge export --target executorch -o nano.pte": "tests/test_target_contract.py exports to every target",
    "elir-edge export --target coreml --precision fp16 --io uint8 -o nano.mlpackage": "the same",
    "elir-edge export --target web -o nano.web": "the same, where npm brought the runtime",
    "elir-edge bench --all .": "minutes; tests/bench/test_command.py sweeps a folder",
    "elir-edge train --preset nano -o runs/nano": "an hour; tests/cli/test_train.py runs a recipe of a few steps",
}

pytestmark = pytest.mark.slow


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def commands():
    return [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A reader's folder: a photograph, a folder of them, and this project's environment on the path."""
    path = tmp_path_factory.mktemp("reader")
    (path / "photos").mkdir()
    for target, name in (("photo.jpg", "coffee"), ("photos/one.jpg", "chelsea"), ("photos/two.jpg", "rocket")):
        write_picture(path / target, builtin_photograph(name)[:200, :280])
    return path


def test_the_two_commands_are_there():
    assert commands()[:2] == ["make export TARGET=tflite", "make test"]


def test_make_export_on_this_checkout(tmp_path):
    """In a copy of the sources, with this environment in the place of the one that make would build."""
    tree = tmp_path / "clone"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", "__pycache__"))
    (tree / ".venv").mkdir()
    (tree / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (tree / ".venv" / ".ready").touch()
    result = subprocess.run(shlex.split(commands()[0]), cwd=tree, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tree / "build" / "nano-256-fp32.tflite").is_file()
    assert "differs from PyTorch by at most" in result.stdout


def test_every_elir_edge_command(folder):
    for command in commands():
        if command in NOT_RUN_HERE or command.startswith("make "):
            continue
        program, *arguments = shlex.split(command)
        assert program == "elir-edge", command
        result = subprocess.run(
            [sys.executable, "-m", "elir_edge", *arguments], cwd=folder, capture_output=True, text=True
        )
        assert result.returncode == 0, (command, result.stderr)
    assert read_picture(folder / "restored.png").shape == (200, 280, 3)
    assert {path.name for path in (folder / "restored").glob("[!.]*")} == {"one.jpg", "two.jpg"}


def test_the_python_example(folder, monkeypatch):
    monkeypatch.chdir(folder)
    scope = {}
    for block in blocks("python"):
        exec(block, scope)
    assert scope["restored"].shape == scope["picture"].shape


def test_every_target_and_preset_is_in_the_tables():
    from elir_edge.families.spec import preset_names
    from elir_edge.pipeline.target import targets

    for name in (*preset_names(), *targets()):
        assert re.search(rf"^\| {name}\b", README, re.M), name
