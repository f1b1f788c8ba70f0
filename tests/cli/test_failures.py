"""The command line when things go wrong: the right exit code, a message that says what is wrong, nothing left over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from elir_edge.artifacts.signature import IMAGE, RESTORED, TensorSpec
from elir_edge.imaging.pictures import read_picture
from elir_edge.runtime.base import Session
from tests.helpers import Outcome, child_environment, command_line, heed_signals, run_process, save_picture, snapshot
from tests.tiny import LIGHT


class IdentitySession(Session):
    """Stands for a model: gives its input back."""

    backend = "identity"

    def __init__(self) -> None:
        image = TensorSpec(IMAGE, (1, 3, 32, 32), "float32", "NCHW", "RGB 0..1")
        super().__init__([image], [TensorSpec(RESTORED, *list(vars(image).values())[1:])])

    def _run(self, feeds):
        return {RESTORED: feeds[IMAGE]}

    def _close(self) -> None:
        pass


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The current folder: a model, two pictures, a damaged one, an empty folder, files that are in the way."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "tiny.yaml").write_text(LIGHT.to_yaml())
    (folder / "broken.yaml").write_text("steps: [")
    (folder / "K.yaml").write_text("steps: 1000000000")
    save_picture(folder / "a.png")
    save_picture(folder / "b.png", seed=1)
    (folder / "damaged.png").write_bytes((folder / "a.png").read_bytes()[:600])
    (folder / "empty").mkdir()
    (folder / "text.onnx").write_text("no model")
    (folder / "text.tflite").write_text("no model")
    (folder / "text.xml").write_text("no model")
    (folder / "empty.pth").write_bytes(b"")
    (folder / "there.onnx").write_text("precious")
    (folder / "there.png").write_text("precious")
    (folder / "link.png").symlink_to("nowhere.png")
    (folder / "same.jpg").write_bytes((folder / "a.png").read_bytes())
    (folder / "same.png").write_bytes((folder / "a.png").read_bytes())
    return folder


@pytest.fixture
def identity(monkeypatch):
    monkeypatch.setattr("elir_edge.cli.restore._session", lambda *arguments: IdentitySession())


def assert_fails(outcome: Outcome, code: int, *named: str) -> None:
    """The exit code, every text of ``named`` on stderr, nothing but words there, and stdout empty."""
    assert outcome.code == code, outcome.err
    for text in named:
        assert text in outcome.err, f"'{text}' is not in: {outcome.err}"
    assert "Traceback" not in outcome.err
    assert "a bug in elir-edge" not in outcome.err
    assert outcome.out == ""


EXPORT = ("export", "-p", "tiny.yaml", "-o", "new.onnx")
RESTORE = ("restore", "-p", "tiny.yaml", "a.png", "-o", "new.png")
RUN = ("restore", "a.png", "-o", "new.png")

FAILURES = {
    "no command": ([], 2, "Usage"),
    "unknown command": (["exprot"], 2, "exprot", "did you mean 'export'?"),
    "unknown option": (["export", "--taget", "onnx"], 2, "--taget", "--target"),
    "unknown option of the group": (["--verbos", "presets"], 2, "--verbos"),
    "an argument too many": (["presets", "nano"], 2, "nano"),
    "an option without value": (["export", "--target"], 2, "--target"),
    "unknown target": (["export", "-t", "onx"], 2, "onx", "did you mean 'onnx'?"),
    "unknown precision": ([*EXPORT, "--precision", "fp8"], 2, "fp8", "it offers fp32"),
    "unknown preset": (["export", "-p", "nanno"], 78, "nanno", "did you mean 'nano'?"),
    "missing model file": (["export", "-p", "no.yaml"], 66, "no.yaml"),
    "broken model file": (["export", "-p", "broken.yaml"], 78, "broken.yaml", "not usable YAML"),
    "too many steps": (["export", "-p", "K.yaml"], 78, "K.yaml", "steps is 1000000000", "allowed is 1 to 100"),
    "a size that is no multiple": ([*EXPORT, "--size", "102"], 78, "height 102", "nearest allowed is 104"),
    "a size that is none": ([*EXPORT, "--size", "64x"], 2, "64x", "HEIGHTxWIDTH"),
    "unknown noise": ([*EXPORT, "--noise", "loud"], 2, "loud", "baked:SEED"),
    "unknown io": ([*EXPORT, "--io", "int3"], 2, "int3", "float, uint8"),
    "unknown norm": (["lower", "-p", "tiny.yaml", "--norm", "batch"], 2, "batch", "native", "pointwise"),
    "missing checkpoint": ([*EXPORT, "-w", "no.pth"], 66, "no.pth", "no such checkpoint"),
    "empty checkpoint": ([*EXPORT, "-w", "empty.pth"], 65, "empty.pth", "empty"),
    "a picture as checkpoint": ([*EXPORT, "-w", "a.png"], 65, "a.png", "neither a PyTorch nor a safetensors"),
    "unknown published weights": ([*EXPORT, "-w", "elir:bfrr"], 2, "elir:bfrr", "did you mean 'bfr'?"),
    "unknown packaged weights": ([*EXPORT, "-w", "packaged:none"], 2, "'none'"),
    "a seed that is none": ([*EXPORT, "-w", "random:x"], 2, "random:x"),
    "no server": ([*EXPORT, "-w", "http://127.0.0.1:9/model.pth"], 69, "127.0.0.1:9/model.pth", "cannot be fetched"),
    "an ending of another format": (["export", "-p", "tiny.yaml", "-o", "new.tflite"], 2, "new.tflite", ".onnx"),
    "an artifact that is there": (["export", "-p", "tiny.yaml", "-o", "there.onnx"], 73, "there.onnx", "--force"),
    "a folder that is a file": (["export", "-p", "tiny.yaml", "-o", "a.png/x.onnx"], 73, "a.png/x.onnx"),
    "no pictures named": (["restore", "-o", "x.png"], 2, "PICTURES"),
    "no output named": (["restore", "a.png"], 2, "--out"),
    "output equals input": (["restore", "a.png", "-o", "a.png"], 2, "a.png", "the picture itself"),
    "output equals input by another spelling": (["restore", "a.png", "-o", "empty/../a.png", "--force"], 2, "a.png"),
    "output is in the input's folder": (["restore", "a.png", "-o", "."], 2, "a.png", "the picture itself"),
    "output is there": (["restore", "a.png", "-o", "there.png"], 73, "there.png", "--force"),
    "output is a dangling link": (["restore", "a.png", "-o", "link.png"], 73, "link.png", "--force"),
    "several pictures, one file": (["restore", "a.png", "b.png", "-o", "x.png"], 2, "2 pictures", "x.png", "folder"),
    "several pictures of one name": (["restore", "same.png", "same.jpg", "-f", "png", "-o", "new"], 2, "new/same.png"),
    "an ending that is not written": (["restore", "a.png", "-o", "x.gif"], 2, "x.gif", "known: .png"),
    "missing picture": (["restore", "no.png", "-o", "x.png"], 66, "no.png"),
    "missing folder": (["restore", "nowhere", "-o", "new"], 66, "nowhere"),
    "empty folder": (["restore", "empty", "-o", "new"], 65, "empty", "holds no pictures"),
    "a name of 300 bytes": (["restore", "n" * 300, "-o", "x.png"], 66, "nnn", "too long"),
    "an output of 300 bytes": (["restore", "a.png", "-o", "n" * 296 + ".png"], 73, "nnn", "too long"),
    "an artifact of 300 bytes": (["export", "-p", "tiny.yaml", "-o", "n" * 295 + ".onnx"], 73, "nnn", "too long"),
    "a seed below zero": ([*RESTORE, "--seed", "-1"], 2, "--seed"),
    "no threads": ([*RESTORE, "--threads", "0"], 2, "--threads"),
    "a backend without an artifact": ([*RESTORE, "-b", "onnxruntime"], 2, "onnxruntime", "--artifact"),
    "an artifact and weights": ([*RUN, "-a", "text.onnx", "-w", "a.pth"], 2, "--weights"),
    "an artifact and a preset": ([*RESTORE, "-a", "text.onnx"], 2, "--preset"),
    "restoring with a missing artifact": ([*RUN, "-a", "no.onnx"], 66, "no.onnx"),
    "restoring with a picture as artifact": ([*RUN, "-a", "b.png"], 2, "b.png", ".onnx, .pte, .tflite"),
    "inspecting nothing": (["inspect", "no.onnx"], 66, "no.onnx"),
    "inspecting a folder": (["inspect", "empty"], 66, "empty"),
    "inspecting a picture": (["inspect", "a.png"], 2, "a.png", ".onnx, .pte, .tflite"),
    "inspecting text as .onnx": (["inspect", "text.onnx"], 65, "text.onnx"),
    "inspecting text as .tflite": (["inspect", "text.tflite"], 65, "text.tflite"),
    "inspecting text as .xml": (["inspect", "text.xml"], 65, "text.xml"),
    "packaging nothing": (["package", "no.tflite", "-l", "c", "-o", "new"], 66, "no.tflite"),
    "packaging text": (["package", "text.tflite", "-l", "c", "-o", "new"], 65, "text.tflite"),
    "packaging for no language": (["package", "no.tflite", "-l", "kotln", "-o", "new"], 2, "did you mean 'kotlin'?"),
    "packaging without a language": (["package", "no.tflite", "-o", "new"], 2, "--lang"),
    "embedding in an asset": (["package", "no.tflite", "-l", "kotlin", "--embed", "-o", "new"], 2, "--embed"),
    "packaging below a file": (["package", "no.tflite", "-l", "c", "-o", "a.png/new"], 73, "a.png/new"),
    "validating nothing": (["validate", "no.onnx"], 66, "no.onnx"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_failures(case, place, run):
    arguments, code, *named = FAILURES[case]
    before = snapshot(place)
    assert_fails(run(*arguments), code, *named)
    assert snapshot(place) == before


def test_one_bad_picture_does_not_stop_the_others(place, run, identity):
    pictures = place / "pictures"
    pictures.mkdir()
    saved = {name: save_picture(pictures / f"{name}.png", seed=ord(name)) for name in "ac"}
    (pictures / "b.png").write_bytes((place / "damaged.png").read_bytes())
    outcome = run("restore", "pictures", "-o", "out")
    assert outcome.code == 65
    assert outcome.out == "2 of 3 restored\n"
    assert "pictures/b.png: damaged or cut short" in outcome.err and "Traceback" not in outcome.err
    assert {path.stem for path in (place / "out").glob("[!.]*")} == {"a", "c"}
    for name, pixels in saved.items():
        assert np.array_equal(read_picture(place / "out" / f"{name}.png"), pixels)


NAMES = {
    "spaces": "my holiday  picture .png",
    "emoji": "🏔️ été ☕.png",
    "250 bytes of emoji": "🏔" * 61 + "12.png",
    "newline": "two\nlines.png",
    "250 bytes": "n" * 246 + ".png",
    "255 bytes": "n" * 251 + ".png",
    "markup": "[red]no colour[bold].png",
    "no UTF-8": os.fsdecode(b"caf\xe9.png"),
    "percent": "%s %d {0}.png",
}


@pytest.mark.parametrize("case", NAMES)
def test_names(case, place, run, identity):
    name = NAMES[case]
    pixels = save_picture(place / name)
    outcome = run("restore", name, "-o", place / "out" / name)
    assert outcome.code == 0, outcome.err
    assert np.array_equal(read_picture(place / "out" / name), pixels)
    assert [path.name for path in (place / "out").iterdir()] == [name]


@pytest.mark.parametrize("case", NAMES)
def test_names_of_missing_pictures(case, place, run):
    outcome = run("restore", NAMES[case], "-o", "x.png")
    assert outcome.code == 66 and "Traceback" not in outcome.err


UNFORESEEN = {
    "no memory": (MemoryError(), 71, "not enough memory", "a smaller size"),
    "torch's no memory": (RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 byte"), 71, "not enough memory"),
    "a runtime's no memory": (RuntimeError("std::bad_alloc"), 71, "not enough memory"),
    "a failing disk": (OSError(5, "Input/output error", "a.bin"), 74, "a.bin", "Input/output error"),
    "a missing file": (FileNotFoundError(2, "No such file", "a.bin"), 66, "a.bin", "No such file"),
    "Ctrl-C": (KeyboardInterrupt(), 130, "interrupted"),
}


@pytest.mark.parametrize("case", UNFORESEEN)
def test_what_nobody_foresaw_has_its_exit_code(case, place, run, monkeypatch):
    error, code, *named = UNFORESEEN[case]

    def failing(*arguments):
        raise error

    monkeypatch.setattr("elir_edge.cli.restore._session", failing)
    before = snapshot(place)
    assert_fails(run(*RESTORE), code, *named)
    assert snapshot(place) == before


def test_a_bug_is_called_one(place, run, monkeypatch):
    monkeypatch.setattr("elir_edge.cli.restore._session", lambda *arguments: 1 / 0)
    outcome = run(*RESTORE)
    assert outcome.code == 70
    assert "a bug in elir-edge: ZeroDivisionError" in outcome.err and "Traceback" not in outcome.err


def test_a_leading_dash_comes_after_two(place, run, identity):
    pixels = save_picture(place / "-o.png")
    assert run("restore", "-o", "x.png", "--", "-o.png").code == 0
    assert np.array_equal(read_picture(place / "x.png"), pixels)
    assert run("restore", "-o", "-x.png", "a.png").code == 0
    assert (place / "-x.png").is_file()


def test_force_replaces_a_link_and_not_what_it_points_to(place, run, identity):
    (place / "link.png").unlink()
    (place / "link.png").symlink_to("b.png")
    before = (place / "b.png").read_bytes()
    assert run("restore", "a.png", "-o", "link.png", "--force").code == 0
    assert not (place / "link.png").is_symlink()
    assert (place / "b.png").read_bytes() == before


def test_downloads_show_inside_the_loading_of_a_model(place, run):
    import torch

    from elir_edge import load_restorer
    from tests.core.test_download import serving

    torch.save(load_restorer("tiny.yaml").state_dict(), place / "tiny.pth")
    with serving() as server:
        server.files["/tiny.pth"] = (place / "tiny.pth").read_bytes()
        outcome = run("restore", "-p", "tiny.yaml", "-w", f"{server.url}/tiny.pth", "a.png", "-o", "new.png")
    assert outcome.code == 0, outcome.err
    assert "downloading tiny.pth" in outcome.err


# ---- the machine around it, in processes of their own --------------------------------------------------------------

PLAIN_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
WITHOUT_UTF8 = "🏔️ été.png"


def test_without_utf8(place):
    """Not even the tool's own marks can be shown there: messages still come."""
    outcome = run_process("restore", WITHOUT_UTF8, "-o", "x.png", **PLAIN_LOCALE)
    assert_fails(outcome, 66, "no such picture", ".png")


@pytest.mark.slow
def test_restoring_without_utf8(place):
    pixels = save_picture(place / WITHOUT_UTF8)
    outcome = run_process("restore", "-p", "tiny.yaml", WITHOUT_UTF8, "-o", "out", **PLAIN_LOCALE)
    assert outcome.code == 0, outcome.err
    assert read_picture(place / "out" / WITHOUT_UTF8).shape == pixels.shape


@pytest.mark.parametrize("command", ["presets", "targets", "--help", "presets --json"])
def test_a_reader_that_leaves_early(command):
    arguments = command_line(*command.split())
    with subprocess.Popen(
        arguments, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_full_standard_output():
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command_line("presets"), env=child_environment(), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 74
    assert b"No space left" in done.stderr and b"Traceback" not in done.stderr


def test_debug_shows_the_traceback_and_keeps_the_exit_code(place):
    outcome = run_process("--debug", "export", "-p", "nanno")
    assert outcome.code == 78
    assert "Traceback" in outcome.err and "did you mean 'nano'?" in outcome.err


BLOCK = "import os, sys\nfor name in os.environ['BLOCKED'].split():\n    sys.modules[name] = None\n"


def run_without(place: Path, packages: str, *arguments: str) -> Outcome:
    """Run the tool as if ``packages`` were not installed, in its child processes too."""
    (place.parent / "site").mkdir(exist_ok=True)
    (place.parent / "site" / "sitecustomize.py").write_text(BLOCK)
    path = os.pathsep.join([str(place.parent / "site"), child_environment()["PYTHONPATH"]])
    return run_process(*arguments, BLOCKED=packages, PYTHONPATH=path)


WITHOUT = {
    "torch, export": ("torch", EXPORT, "'torch'", "pip install 'elir-edge[torch]'"),
    "torch, lower": ("torch", ("lower", "-p", "tiny.yaml"), "'torch'", "pip install 'elir-edge[torch]'"),
    "torch, restore": ("torch", RESTORE, "'torch'", "pip install 'elir-edge[torch]'"),
    "onnxruntime and openvino, inspect": (
        "onnxruntime openvino",
        ("inspect", "text.onnx"),
        "pip install 'elir-edge[run-onnxruntime]'",
    ),
    "openvino, inspect": ("openvino", ("inspect", "text.xml"), "pip install 'elir-edge[run-openvino]'"),
    "litert and tensorflow, inspect": (
        "ai_edge_litert tensorflow",
        ("inspect", "text.tflite"),
        "pip install 'elir-edge[run-litert]'",
    ),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_a_missing_extra_is_named_with_the_command_that_mends_it(case, place):
    packages, arguments, *named = WITHOUT[case]
    before = snapshot(place)
    assert_fails(run_without(place, packages, *arguments), 69, "not installed", *named)
    assert snapshot(place) == before


CONVERTERS = {
    "onnx": ("onnx", "elir-edge[onnx]"),
    "onnxsim": ("onnx", "elir-edge[onnx]"),
    "openvino": ("openvino", "elir-edge[openvino]"),
    "litert_torch": ("tflite", "elir-edge[tflite]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("package", CONVERTERS)
def test_a_missing_converter(package, place):
    target, extra = CONVERTERS[package]
    before = snapshot(place)
    outcome = run_without(place, package, "export", "-p", "tiny.yaml", "-t", target)
    assert_fails(outcome, 69, "not installed", f"pip install '{extra}'")
    assert snapshot(place) == before


def test_what_needs_no_torch_works_without(place):
    for command in ("presets", "targets", "devices"):
        outcome = run_without(place, "torch onnxruntime openvino ai_edge_litert tensorflow", command)
        assert outcome.code == 0, outcome.err
    assert outcome.out.count("pip install") == 6


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("stage", ["loading the model", "lowering"])
def test_interrupted_exports_leave_nothing_behind(number, code, stage, place):
    """The signal comes just after ``stage`` has ended: while the model is lowered, and while it is converted."""
    scratch = place.parent / "scratch"
    scratch.mkdir()
    before = snapshot(place)
    environment = child_environment(TMPDIR=str(scratch))
    with subprocess.Popen(
        command_line(*EXPORT),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    ) as process:
        said = ""
        while stage not in said:
            said += process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert_fails(Outcome(process.returncode, out, said + err), code)
    assert snapshot(place) == before
    assert not list(scratch.glob("elir-edge*"))


# ---- artifacts -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_onnx(light_restorer, tmp_path_factory) -> Path:
    from elir_edge.pipeline.export import export

    return export(light_restorer, out=tmp_path_factory.mktemp("exported") / "tiny.onnx").path


@pytest.fixture
def artifact(tiny_onnx, place) -> Path:
    for name in (tiny_onnx.name, f"{tiny_onnx.name}.json", f"{tiny_onnx.name}.golden.zip"):
        shutil.copy(tiny_onnx.parent / name, place / name)
    return place / tiny_onnx.name


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


@pytest.mark.slow
def test_an_artifact_is_run_only_while_its_hashes_hold(artifact, run, place):
    assert run("restore", "a.png", "-a", artifact.name, "-o", "new.png").code == 0
    flip(artifact, artifact.stat().st_size // 2)
    before = snapshot(place)
    for arguments in (("inspect",), ("validate",), ("restore", "a.png", "-o", "x.png", "-a")):
        assert_fails(run(*arguments, artifact.name), 65, "tiny.onnx", "sha256 differs", "copy it again")
    assert snapshot(place) == before


@pytest.mark.slow
def test_artifacts_that_do_not_fit(artifact, run, place):
    assert_fails(run("restore", "a.png", "-a", "tiny.onnx", "-b", "onnxrutnime", "-o", "x.png"), 2, "'onnxruntime'")
    assert_fails(run("restore", "a.png", "-a", "tiny.onnx", "-b", "litert", "-o", "x.png"), 2, "tiny.onnx", ".tflite")
    assert_fails(run("validate", "tiny.onnx", "-w", "random:1"), 2, "random:0", "not the ones")
    assert_fails(run("validate", "tiny.onnx", "--images", "empty"), 65, "empty", "holds no pictures")
    assert_fails(run("validate", "tiny.onnx", "--images", "nowhere"), 66, "nowhere")
    assert_fails(run("validate", "tiny.onnx", "--images", "damaged.png"), 65, "damaged.png")
    for name in ("tiny.tflite", "tiny.xml"):
        shutil.copy(artifact, place / name)
        assert_fails(run("inspect", name), 65, name)
        shutil.copy(f"{artifact}.json", f"{name}.json")
        assert_fails(run("inspect", name), 65, name, "that of tiny.onnx")
    (place / "tiny.onnx.json").unlink()
    outcome = run("inspect", "tiny.onnx")
    assert outcome.code == 0 and "not vouched for" in outcome.err and "random stand-ins" in outcome.out


@pytest.mark.slow
def test_exporting_over_what_is_there(artifact, run, place):
    before = snapshot(place)
    again = ("export", "-p", "tiny.yaml", "-o", "tiny.onnx")
    outcome = run(*again)
    assert outcome.code == 0 and "nothing to do" in outcome.err
    assert_fails(run(*again, "-w", "random:1"), 73, "tiny.onnx", "--force")
    assert snapshot(place) == before
    (place / "tiny.onnx").unlink()
    (place / "tiny.onnx").symlink_to("there.onnx")
    assert run(*again, "--force").code == 0
    assert not (place / "tiny.onnx").is_symlink()
    assert snapshot(place) == before
