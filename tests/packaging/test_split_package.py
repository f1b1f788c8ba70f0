"""Packages of split artifacts: any number of steps gives the bytes that the session in Python gives."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from elir_edge import load_artifact, load_restorer, open_session, package, restore_picture
from elir_edge.artifacts.artifact import Artifact
from elir_edge.artifacts.split import place_of, time_rows, times_of
from elir_edge.errors import DataError, UnavailableError, UsageError
from elir_edge.formats.tflite.file import pack_model, read_file
from elir_edge.npu.compile import compile_artifact
from elir_edge.npu.device import get_device
from elir_edge.npu.fit import fit_artifact
from elir_edge.runtime.mode import Mode
from tests.helpers import refusal
from tests.packaging.programs import (
    SANITIZE,
    STRICT,
    add_program,
    build,
    compile_kotlin,
    kotlin_compiler,
    litert_library,
    needs,
    random_frame,
    read_ppm,
    run,
    write_ppm,
)
from tests.tiny import LIGHT

MOST = 3
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Artifact:
    from elir_edge import export

    restorer = load_restorer(dataclasses.replace(LIGHT, steps=MOST))
    return export(restorer, "tflite", noise="zero", out=tmp_path_factory.mktemp("split"), split=True)


@pytest.fixture(scope="module")
def folder(split, tmp_path_factory) -> Path:
    """A C package with its example program under sanitizers."""
    path = package(split, "c", tmp_path_factory.mktemp("package") / "c")
    build(path, litert_library(), "restore", "main.c", flags=SANITIZE)
    return path


def in_python(artifact: Artifact, pixels: np.ndarray, steps: int) -> np.ndarray:
    with open_session(artifact.path, "litert", steps=steps) as session:
        return restore_picture(session, pixels)


@slow
@needs("gcc")
@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 130)])
def test_any_number_of_steps_gives_the_bytes_that_python_gives(height, width, split, folder):
    frame = random_frame(height, height, width)
    write_ppm(folder / "in.ppm", frame)
    seen = set()
    for steps in (MOST, *range(1, MOST)):
        words = [] if steps == MOST else ["--steps", str(steps)]
        done = run(folder, "./restore", *words, "in.ppm", "out.ppm")
        assert done.returncode == 0, done.stderr
        restored = read_ppm(folder / "out.ppm")
        np.testing.assert_array_equal(restored, in_python(split, frame, steps), f"{steps} steps")
        seen.add(restored.tobytes())
    assert len(seen) == MOST


@slow
@needs("gcc")
def test_the_self_test_passes_and_other_numbers_of_steps_are_refused(folder):
    tested = run(folder, "./restore", "--self-test", "selftest")
    assert (tested.returncode, "self-test passed" in tested.stdout) == (0, True), tested.stderr
    for steps in ("0", str(MOST + 1)):
        done = run(folder, "./restore", "--steps", steps, "selftest/image.ppm", "refused.ppm")
        assert (done.returncode, "the model takes 1 to" in done.stderr) == (70, True), done
    assert not (folder / "refused.ppm").exists()
    assert f"#define ELIR_TINY_STEPS {MOST}\n" in (folder / "tiny_model.h").read_text()


@slow
@needs("gcc")
def test_the_library_under_sanitizers_rightly_and_wrongly_used(split, tmp_path):
    folder = package(split, "c", tmp_path / "c", embed=True)
    add_program(folder, "check.c")
    build(folder, litert_library(), "check", "check.c", flags=SANITIZE)
    frame = random_frame(6)
    write_ppm(folder / "in.ppm", frame)
    done = run(folder, "./check", "-", "in.ppm", "out.ppm")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_ppm(folder / "out.ppm"), in_python(split, frame, MOST))


@slow
@needs("gcc")
def test_whatever_fails_in_the_runtime_is_told_and_nothing_leaks(folder):
    add_program(folder, "failing_litert.c")
    sources = ["failing_litert.c", "elir_restorer.c", "tiny_model.c"]
    built = run(folder, "gcc", "-std=c11", *STRICT, *SANITIZE, *sources, "-lm", "-o", "failing")
    assert built.returncode == 0, built.stderr
    done = run(folder, "./failing", "tiny.tflite")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 20 + 3 * MOST


@slow
@needs("gcc")
def test_restorations_allocate_no_memory_of_a_frame_s_size(folder):
    add_program(folder, "allocations.c")
    library = litert_library()
    sources = ["allocations.c", "elir_restorer.c", "tiny_model.c", str(library), "-lm", f"-Wl,-rpath,{library.parent}"]
    assert run(folder, "gcc", "-std=c11", *STRICT, *sources, "-o", "allocations").returncode == 0
    opened, *restored = map(int, run(folder, "./allocations", "tiny.tflite").stdout.split())
    assert opened > 64 * 64 * 3 and max(restored) < 2000 * MOST


@slow
@needs("gcc")
def test_the_camera_takes_the_number_of_steps(folder):
    sources = ["camera.c", "elir_yuv.c", "elir_restorer.c", "elir_tiled.c", "tiny_model.c"]
    library = litert_library()
    command = ["gcc", "-std=c11", *STRICT, *SANITIZE, *sources, str(library), "-lm", f"-Wl,-rpath,{library.parent}"]
    assert run(folder, *command, "-o", "camera").returncode == 0
    (folder / "frame.yuv").write_bytes(random_frame(1, 64, 64).tobytes()[: 64 * 96])
    given = {steps: f"./camera 64 64 64 i420 full {steps} < frame.yuv" for steps in ("", "3", "2", "4")}
    done = {steps: run(folder, "sh", "-c", f"{line} > {steps}out.yuv") for steps, line in given.items()}
    assert [item.returncode for item in done.values()] == [0, 0, 0, 70], done
    assert "1 to" in done["4"].stderr
    default, three, two, _ = ((folder / f"{steps}out.yuv").read_bytes() for steps in given)
    assert default == three and two != three and len(two) == 64 * 96


@slow
@needs("cc", "c++")
def test_cpp_by_the_commands_of_its_readme(split, tmp_path):
    folder, library = package(split, "cpp", tmp_path / "cpp"), litert_library()
    (folder / "libLiteRt.so").symlink_to(library)
    (commands,) = re.findall(r"^Without CMake:\n\n```sh\n(.*?)^```$", (folder / "README.md").read_text(), re.M | re.S)
    frame = random_frame(7)
    write_ppm(folder / "in.ppm", frame)
    done = run(folder, "sh", "-e", "-c", f"{commands}\n./restore --self-test selftest")
    assert done.returncode == 0, done.stderr
    assert run(folder, "./restore", "--steps", "2", "in.ppm", "out.ppm").returncode == 0
    np.testing.assert_array_equal(read_ppm(folder / "out.ppm"), in_python(split, frame, 2))
    refused = run(folder, "./restore", "--steps", "4", "in.ppm", "out.ppm")
    assert (refused.returncode, "the model takes 1 to" in refused.stderr) == (70, True)


@slow
def test_the_model_is_one_file_with_equal_constants_once(split, folder):
    assert (folder / "tiny.tflite").read_bytes() == split.path.read_bytes()
    model = read_file(split.path)
    assert [entry.signatureKey for entry in model.signatureDefs] == [b"encoder", b"step", b"decoder"]
    constants = [bytes(buffer.data) for buffer in model.buffers if buffer.data is not None and len(buffer.data)]
    assert len(constants) == len(set(constants))
    shared = [{tensor.buffer for tensor in graph.tensors} - {0} for graph in model.subgraphs]
    assert shared[0] & shared[2], "encoder and decoder have equal constants"
    inside = load_artifact(folder / "tiny.tflite")
    assert inside.manifest.split == {"most_steps": MOST}
    np.testing.assert_array_equal(in_python(inside, random_frame(), 2), in_python(split, random_frame(), 2))
    assert "Euler steps of the restorations that follow, 1 to 3" in (folder / "README.md").read_text()


@slow
def test_what_does_not_fit_is_refused(split, tmp_path):
    folder = tmp_path / "old.split"
    folder.mkdir()
    for other, told in (
        (Artifact(split.path, dataclasses.replace(split.manifest, target="onnx")), ("'onnx'", "--target tflite")),
        (Artifact(folder, split.manifest), ("old.split", "folder", "--split writes one file")),
    ):
        refusal(UsageError, lambda other=other: package(other, "c", tmp_path / "c"), *told)
    device = get_device("ethos-u55-128")
    for refuse in (fit_artifact, compile_artifact):
        refusal(UsageError, lambda refuse=refuse: refuse(split, device), "split", "without --split")
    refusal(UsageError, lambda: open_session(split.path, steps=MOST + 1), "1 to 3")
    refusal(UnavailableError, lambda: open_session(split.path, mode=Mode(device="GPU")), "CPU only", "--split")
    assert not (tmp_path / "c").exists()


@slow
def test_a_file_whose_parts_do_not_fit_is_refused(split, tmp_path):
    model = read_file(split.path)
    model.signatureDefs[2].signatureKey = b"decode"
    changed = tmp_path / "changed.tflite"
    changed.write_bytes(pack_model(model))
    refusal(DataError, lambda: open_session(changed), "changed.tflite", "3 Signatures")
    model.signatureDefs[2].signatureKey, model.metadata = b"decoder", None
    changed.write_bytes(pack_model(model))
    refusal(DataError, lambda: open_session(changed), "no elir-edge manifest")


@slow
@needs("java")
@pytest.mark.skipif(not kotlin_compiler(), reason="no Kotlin compiler: pip install --no-deps kotlin-jupyter-kernel")
def test_kotlin_compiles_and_takes_the_steps_on_a_jvm(split, tmp_path):
    folder = package(split, "kotlin", tmp_path / "android")
    java = compile_kotlin(folder, "CheckSteps", tmp_path)
    done = run(tmp_path, *java, "CheckStepsKt")
    assert done.returncode == 0, done.stderr


def test_each_step_of_each_number_of_steps_has_its_time():
    rows, times = time_rows(4), times_of(4)
    assert [rows[place_of(k, steps)] for steps in (1, 2, 4) for k in range(steps)] == [
        times.index(time) for time in (0, 0, 1 / 2, 0, 1 / 4, 1 / 2, 3 / 4)
    ]
    assert len(rows) == 10
