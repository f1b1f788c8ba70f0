"""Packages: built by the installed compilers, run with the wheel's libLiteRt.so, equal to a session in Python."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from elir_edge import load_artifact, open_session, package, restore_picture
from elir_edge.artifacts.artifact import Artifact, sidecar
from elir_edge.artifacts.golden import golden_path, load_golden
from elir_edge.artifacts.signature import TensorSpec
from elir_edge.core.files import sha256_of
from elir_edge.core.native import captured_output
from elir_edge.core.plain import identifier_of
from elir_edge.errors import DataError, MissingInputError, OutputError, UsageError
from elir_edge.formats.tflite.file import pack_model, read_file
from elir_edge.packaging.c_host import library_names
from elir_edge.packaging.render import c_string, kotlin_string, one_line, render
from tests.helpers import child_environment, refusal, run_process, snapshot
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
from tests.runtime.test_without_torch import BLOCKED
from tests.tiny import SPEC

FORMS = {"float": {"noise": "zero"}, "bytes": {"io": "uint8"}}
INT8 = "int8"
HOSTILE = 'a "b"\\ */ // ${x} $y @{id} %s \n??/ |ü𝄞'
AARCH64_LITERT = "ELIR_EDGE_AARCH64_LITERT"
CORTEX_A76 = """processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""


@pytest.fixture(scope="module")
def artifact_of(light_artifact, tmp_path_factory):
    """Returns the artifact of a form in ``FORMS``, or the int8 one; each is made once."""

    @functools.cache
    def make(form):
        if form == INT8:
            return quantize_artifact(make("bytes"), tmp_path_factory.mktemp(form))
        return light_artifact("tflite", **FORMS[form])

    return make


def quantize_artifact(artifact, folder):
    """Write an int8 artifact with byte input and output, by the stock quantizer: its quality does not matter here."""
    from ai_edge_quantizer import quantizer, recipe

    path = folder / artifact.path.name
    work = quantizer.Quantizer(str(artifact.path))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    with captured_output():
        work.quantize(work.calibrate({"restore": [{"image": random_frame()[None]}]})).export_model(str(path))
    path.write_bytes(pack_model(read_file(path)))
    files = {path.name: sha256_of(path)}
    manifest = dataclasses.replace(artifact.manifest, precision="int8", golden=None, files=files)
    sidecar(path).write_text(manifest.to_json())
    return Artifact(path, manifest)


@pytest.fixture(params=FORMS)
def artifact(request, artifact_of):
    return artifact_of(request.param)


@pytest.fixture(params=[*FORMS, INT8])
def any_artifact(request, artifact_of):
    return artifact_of(request.param)


@pytest.fixture
def one(artifact_of):
    return artifact_of("float")


@pytest.fixture
def litert():
    return litert_library()


def in_python(artifact, pixels):
    with open_session(artifact.path, "litert") as session:
        return restore_picture(session, pixels)


@pytest.mark.slow
@needs("gcc")
@pytest.mark.parametrize("embed", [False, True], ids=["file", "embedded"])
def test_c_gives_the_bytes_that_python_gives(any_artifact, embed, litert, tmp_path):
    folder = package(any_artifact, "c", tmp_path / "c", embed=embed)
    build(folder, litert, "restore", "main.c")
    model = [] if embed else ["--model", "tiny.tflite"]
    tested = run(folder, "./restore", *model, "--self-test", "selftest")
    assert tested.returncode == 0, tested.stderr
    assert "self-test passed" in tested.stdout
    frame = random_frame()
    write_ppm(folder / "in.ppm", frame)
    done = run(folder, "./restore", *model, "--threads", "2", "--repeat", "2", "in.ppm", "out.ppm")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_ppm(folder / "out.ppm"), in_python(any_artifact, frame))


@pytest.mark.slow
@needs("gcc")
def test_c_restores_frames_of_any_size_as_python_does(artifact, litert, tmp_path):
    folder = package(artifact, "c", tmp_path / "c")
    build(folder, litert, "restore", "main.c", flags=SANITIZE)
    for height, width in ((1, 1), (40, 64), (64, 65), (97, 31), (100, 250), (333, 129)):
        frame = random_frame(height, height, width)
        write_ppm(folder / "in.ppm", frame)
        done = run(folder, "./restore", "in.ppm", "out.ppm")
        assert done.returncode == 0, (height, width, done.stderr)
        np.testing.assert_array_equal(read_ppm(folder / "out.ppm"), in_python(artifact, frame), f"{height}x{width}")


@pytest.mark.slow
@needs("gcc")
def test_the_library_under_sanitizers_rightly_and_wrongly_used(artifact, litert, tmp_path):
    embed = artifact.manifest.io == "uint8"
    folder = package(artifact, "c", tmp_path / "c", embed=embed)
    add_program(folder, "check.c")
    build(folder, litert, "check", "check.c", flags=SANITIZE)
    frame = random_frame(6)
    write_ppm(folder / "in.ppm", frame)
    content = (folder / "tiny.tflite").read_bytes()
    (folder / "cut.tflite").write_bytes(content[: len(content) // 2])
    (folder / "flipped.tflite").write_bytes(content[:4000] + bytes([content[4000] ^ 1]) + content[4001:])
    for damaged in ("cut.tflite", "flipped.tflite"):
        model = "-" if embed else "tiny.tflite"
        done = run(folder, "./check", model, "in.ppm", "out.ppm", damaged)
        assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_ppm(folder / "out.ppm"), in_python(artifact, frame))


@pytest.mark.slow
@needs("gcc")
@pytest.mark.parametrize("flags", [SANITIZE, ["-O3", "-ffast-math"]], ids=["sanitized", "fast-math"])
def test_whatever_fails_in_the_runtime_is_told_and_nothing_leaks(flags, one, tmp_path):
    folder = package(one, "c", tmp_path / "c")
    add_program(folder, "failing_litert.c")
    sources = ["failing_litert.c", "elir_restorer.c", "tiny_model.c"]
    built = run(folder, "gcc", "-std=c11", *STRICT, *flags, *sources, "-lm", "-o", "failing")
    assert built.returncode == 0, built.stderr
    done = run(folder, "./failing", "tiny.tflite")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 20


@pytest.mark.slow
@needs("gcc")
def test_restorations_allocate_no_memory_of_a_frame_s_size(artifact, litert, tmp_path):
    folder = package(artifact, "c", tmp_path / "c")
    add_program(folder, "allocations.c")
    sources = ["allocations.c", "elir_restorer.c", "tiny_model.c", str(litert), "-lm", f"-Wl,-rpath,{litert.parent}"]
    built = run(folder, "gcc", "-std=c11", *STRICT, "-O2", *sources, "-o", "allocations")
    assert built.returncode == 0, built.stderr
    done = run(folder, "./allocations", "tiny.tflite")
    assert done.returncode == 0, done.stderr
    opened, *restored = map(int, done.stdout.split())
    assert opened > SPEC.size**2 * 3 and len(restored) == 2
    assert max(restored) < 2000


@pytest.mark.slow
@needs("gcc")
def test_the_example_program_refuses_what_it_cannot_do(one, litert, tmp_path):
    folder = package(one, "c", tmp_path / "c")
    build(folder, litert, "restore", "main.c", flags=SANITIZE)
    (folder / "cut.ppm").write_bytes((folder / "selftest" / "image.ppm").read_bytes()[:900])
    (folder / "text.ppm").write_text("P6 of no picture")
    (folder / "other").mkdir()
    shutil.copy(folder / "selftest" / "image.ppm", folder / "other" / "image.ppm")
    write_ppm(folder / "other" / "restored.ppm", random_frame())
    image = "selftest/image.ppm"
    for code, words, said in (
        (2, [], "usage"),
        (2, [image], "usage"),
        (2, ["--threads", "many", image, "out.ppm"], "usage"),
        (2, ["--repeat", "0", image, "out.ppm"], "usage"),
        (2, ["--unknown", "1", image, "out.ppm"], "usage"),
        (65, ["cut.ppm", "out.ppm"], "cut.ppm: cannot be read, or is no binary PPM"),
        (65, ["text.ppm", "out.ppm"], "text.ppm: cannot be read, or is no binary PPM"),
        (65, ["none.ppm", "out.ppm"], "none.ppm: cannot be read, or is no binary PPM"),
        (70, ["--model", "none.tflite", image, "out.ppm"], "cannot be read"),
        (70, ["--model", image, image, "out.ppm"], "not the one this program was built for"),
        (73, [image, "no/folder/out.ppm"], "cannot be written"),
    ):
        done = run(folder, "./restore", *words)
        assert (done.returncode, said in done.stderr) == (code, True), (words, done)
        assert not (folder / "out.ppm").exists()
    failed = run(folder, "./restore", "--self-test", "other")
    assert failed.returncode == 1
    assert "self-test FAILED" in failed.stdout


@pytest.mark.slow
@needs("cmake", "gcc", "g++")
def test_cmake_builds_cpp_and_its_self_test_passes(artifact, litert, tmp_path):
    folder = package(artifact, "cpp", tmp_path / "a folder, with a comma", embed=artifact.manifest.io == "float")
    flags = " ".join(STRICT)
    configured = run(
        folder, "cmake", "-S", ".", "-B", "build", f"-DLITERT_LIBRARY={litert}", f"-DCMAKE_C_FLAGS={flags}",
        f"-DCMAKE_CXX_FLAGS={flags}",
    )  # fmt: skip
    assert configured.returncode == 0, configured.stderr
    built = run(folder, "cmake", "--build", "build")
    assert built.returncode == 0, built.stdout + built.stderr
    tested = run(folder, "ctest", "--test-dir", "build", "--output-on-failure")
    assert tested.returncode == 0, tested.stdout
    frame = random_frame(7)
    write_ppm(folder / "in.ppm", frame)
    model = [] if (folder / "tiny_data.S").exists() else ["--model", "tiny.tflite"]
    done = run(folder, "build/restore", *model, "in.ppm", "out.ppm")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_ppm(folder / "out.ppm"), in_python(artifact, frame))
    wide = random_frame(8, 70, 130)
    write_ppm(folder / "in.ppm", wide)
    assert run(folder, "build/restore", *model, "in.ppm", "out.ppm").returncode == 0
    np.testing.assert_array_equal(read_ppm(folder / "out.ppm"), in_python(artifact, wide))
    (folder / "in.ppm").write_text("P6 of no picture")
    assert run(folder, "build/restore", *model, "in.ppm", "out.ppm").returncode == 70
    for words in (["--threads", "two"], ["--steps", "1.5"], ["--threads", "-1"]):
        assert run(folder, "build/restore", *words, *model, "in.ppm", "out.ppm").returncode == 2, words
    missing = run(folder, "build/restore", "--model", "none.tflite", "in.ppm", "out.ppm")
    assert (missing.returncode, "none.tflite: the model file cannot be read" in missing.stderr) == (70, True)


@pytest.mark.slow
@needs("gcc", "g++", "cc", "c++")
@pytest.mark.parametrize(("lang", "embed"), [("c", False), ("c", True), ("cpp", True)])
def test_the_commands_of_the_readme_without_cmake(one, litert, lang, embed, tmp_path):
    folder = package(one, lang, tmp_path / "p", embed=embed)
    (folder / "libLiteRt.so").symlink_to(litert)
    readme = (folder / "README.md").read_text()
    (commands,) = re.findall(r"^Without CMake:\n\n```sh\n(.*?)^```$", readme, re.M | re.S)
    (tested,) = re.findall(r"^build/(restore .*--self-test .*)$", readme, re.M)
    done = run(folder, "sh", "-e", "-c", f"{commands}\n./{tested}")
    assert done.returncode == 0, done.stderr
    assert "self-test passed" in done.stdout


@pytest.mark.slow
@needs("cmake")
def test_cmake_without_the_runtime_says_what_is_missing(one, tmp_path):
    folder = package(one, "c", tmp_path / "c")
    done = run(folder, "cmake", "-S", ".", "-B", "build")
    assert done.returncode != 0
    assert "libLiteRt.so with -DLITERT_LIBRARY=" in done.stderr


@pytest.mark.slow
@needs("clang")
def test_clang_builds_the_embedded_model_without_a_warning(one, litert, tmp_path):
    folder = package(one, "c", tmp_path / "c", embed=True)
    build(folder, litert, "restore", "main.c", compiler=("clang", "-std=c11"))
    assert run(folder, "./restore", "--self-test", "selftest").returncode == 0


@pytest.mark.slow
@needs("aarch64-linux-gnu-gcc", "qemu-aarch64")
@pytest.mark.skipif(
    AARCH64_LITERT not in os.environ, reason=f"{AARCH64_LITERT} does not name the aarch64 wheel's libLiteRt.so"
)
def test_aarch64_in_an_emulator(any_artifact, tmp_path):
    library = Path(os.environ[AARCH64_LITERT])
    folder = package(any_artifact, "c", tmp_path / "c", embed=True)
    build(folder, library, "restore", "main.c", compiler=("aarch64-linux-gnu-gcc", "-std=c11"))
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "lib").symlink_to("/usr/aarch64-linux-gnu/lib")
    (root / "proc" / "cpuinfo").write_text(CORTEX_A76)
    emulator = ["qemu-aarch64", "-cpu", "cortex-a76", "-L", str(root), "-E", f"LD_LIBRARY_PATH={library.parent}"]
    done = run(folder, *emulator, "./restore", "--self-test", "selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    if any_artifact.manifest.precision == INT8:
        assert " 0 of " in done.stdout, done.stdout


def manifest_constants(artifact):
    """The constants that a package must have, computed from the artifact."""
    manifest, content = artifact.manifest, artifact.path.read_bytes()
    tensors = {"INPUT": manifest.inputs[0], "OUTPUT": manifest.outputs[0]}
    meaning = {"uint8": (1 / 255, 0), "float32": (1.0, 0)}
    return {
        "WIDTH": manifest.size[1],
        "HEIGHT": manifest.size[0],
        "BYTES": len(content),
        "CRC32": zlib.crc32(content),
        **{f"{role}_NAME": tensor.name for role, tensor in tensors.items()},
        **{f"{role}_IS_FLOAT": tensor.dtype == "float32" for role, tensor in tensors.items()},
        **{
            f"{role}_{part}": value
            for role, tensor in tensors.items()
            for part, value in zip(("SCALE", "ZERO_POINT"), meaning[tensor.dtype], strict=True)
        },
    }


def kotlin_value(text):
    if text.startswith('"'):
        return json.loads(text)
    if text in ("true", "false"):
        return text == "true"
    if text.startswith("0x"):
        return int(text.rstrip("L"), 16)
    return float(text[:-1]) if text.endswith("f") else int(text.rstrip("L"))


@pytest.mark.slow
def test_kotlin_states_what_the_manifest_says(artifact, tmp_path):
    folder = package(artifact, "kotlin", tmp_path / "android")
    (source,) = folder.glob("src/main/kotlin/elir/edge/tiny_restorer/ModelFacts.kt")
    found = dict(re.findall(r"^    const val (\w+) = (\S+)$", source.read_text(), re.M))
    expected = manifest_constants(artifact)
    stated = {name: kotlin_value(found[name]) for name in expected}
    assert {name: value for name, value in stated.items() if not name.endswith("SCALE")} == {
        name: value for name, value in expected.items() if not name.endswith("SCALE")
    }
    for name in ("INPUT_SCALE", "OUTPUT_SCALE"):
        assert np.float32(stated[name]) == np.float32(expected[name])
    assets = folder / "src/main/assets"
    assert (assets / kotlin_value(found["ASSET"])).read_bytes() == artifact.path.read_bytes()
    image = np.frombuffer((folder / "src/androidTest/assets/selftest/image.rgb").read_bytes(), np.uint8)
    restored = np.frombuffer((folder / "src/androidTest/assets/selftest/restored.rgb").read_bytes(), np.uint8)
    again = in_python(artifact, image.reshape(SPEC.size, SPEC.size, 3)).reshape(-1)
    assert np.abs(restored.astype(int) - again.astype(int)).max() <= int(found["TEST_LEVELS"])


@pytest.mark.slow
@needs("java")
@pytest.mark.skipif(not kotlin_compiler(), reason="no Kotlin compiler: pip install --no-deps kotlin-jupyter-kernel")
def test_kotlin_compiles_and_restores_on_a_jvm(artifact, tmp_path):
    folder = package(artifact, "kotlin", tmp_path / "android")
    java = compile_kotlin(folder, "Check", tmp_path)
    done = run(tmp_path, *java, "CheckKt", "bytes", "bitmap", "sizes", "threads")
    assert done.returncode == 0, done.stderr
    assert run(tmp_path, *java, "CheckKt", "self-test").returncode == 1  # this model gives its input back
    restored = (folder / "src/androidTest/assets/selftest/restored.rgb").read_bytes()
    values = np.frombuffer(restored, np.uint8)
    is_float = artifact.manifest.io == "float"
    (tmp_path / "values").write_bytes((values / np.float32(255)).astype("<f4").tobytes() if is_float else restored)
    done = run(tmp_path, *java[:1], "-Doutput=values", *java[1:], "CheckKt", "self-test")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["c", "cpp", "kotlin"])
def test_same_artifact_same_bytes_and_nothing_of_this_machine(one, lang, tmp_path):
    first = package(one, lang, tmp_path / "first")
    second = package(str(one.path), lang, tmp_path / "second")
    assert snapshot(first) == snapshot(second)
    record = json.loads((first / "elir_package.json").read_text())
    found = {name: digest for name, digest in snapshot(first).items() if digest != "folder"}
    assert record["files"] == {name: digest for name, digest in found.items() if name != "elir_package.json"}
    content = b"".join(path.read_bytes() for path in first.rglob("*") if path.is_file())
    for secret in (os.fsencode(Path.cwd()), os.fsencode(Path.home()), b"site-packages", b"/tmp/"):
        assert secret not in content, secret
    sources = [path for path in first.rglob("*.*") if path.suffix not in (".tflite", ".ppm", ".rgb", "")]
    assert not [path for path in sources if "@{" in path.read_text()]


@pytest.mark.slow
def test_the_packaged_model_is_an_artifact_itself(one, tmp_path):
    folder = package(one, "c", tmp_path / "c")
    inside = load_artifact(folder / "tiny.tflite")
    told = run_process("inspect", str(inside.path))
    assert told.code == 0, told.err  # its manifest states no golden file, the one inside does
    frame = random_frame()
    np.testing.assert_array_equal(in_python(inside, frame), in_python(one, frame))
    assert package(inside, "c", tmp_path / "again").is_dir()


@pytest.mark.slow
@needs("gcc")
def test_names_that_would_break_sources_do_not(one, litert, tmp_path):
    spec = one.manifest.spec | {"name": f"tiny {HOSTILE}", "task": HOSTILE}
    weights = one.manifest.weights | {"name": HOSTILE}
    hostile = Artifact(one.path, dataclasses.replace(one.manifest, spec=spec, weights=weights))
    name = identifier_of(spec["name"])
    folder = package(hostile, "c", tmp_path / "c", embed=True)
    sources = ["main.c", "elir_restorer.c", "elir_tiled.c", f"{name}_model.c", f"{name}_data.S", "ppm.c"]
    (folder / "say.c").write_text(
        f'#include <stdio.h>\n#include "{name}_model.h"\nint main(void) {{ return puts(elir_{name}.name) < 0; }}\n'
    )
    for main, output in (("main.c", "restore"), ("say.c", "say")):
        command = ["gcc", "-std=c11", *STRICT, "-trigraphs", "-Wa,-I.", main, *sources[1:], str(litert), "-lm"]
        done = run(folder, *command, f"-Wl,-rpath,{litert.parent}", "-o", output)
        assert done.returncode == 0, done.stderr
    assert run(folder, "./say").stdout == spec["name"] + "\n"
    assert run(folder, "./restore", "--self-test", "selftest").returncode == 0
    readme = (folder / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.startswith("| model")]
    assert [line.count("|") for line in rows] == [3] * 2, "the rows of the model and of its file"


@pytest.mark.slow
@needs("gcc")
@pytest.mark.parametrize("name", ["model", "restorer", "open", "status", "yuv", "Модель", "error"])
def test_a_model_may_be_called_like_the_library_s_own_names(name, one, tmp_path):
    named = Artifact(one.path, dataclasses.replace(one.manifest, spec=one.manifest.spec | {"name": name}))
    folder = package(named, "c", tmp_path / "c", embed=True)
    model = f"{identifier_of(name)}_model.c"
    done = run(folder, "gcc", "-std=c11", *STRICT, "-fsyntax-only", model, "main.c", "camera.c", "elir_tiled.c")
    assert done.returncode == 0, done.stderr
    header = (folder / model).with_suffix(".h").read_text()
    assert not {macro.lower() for macro in re.findall(r"#define (\w+)", header)} & library_names()


@pytest.mark.slow
def test_what_is_there_is_replaced_only_where_it_is_a_package(one, tmp_path):
    place = tmp_path / "place"
    package(one, "c", place)
    before = snapshot(place)
    refusal(OutputError, lambda: package(one, "cpp", place), str(place), "is there already", "--force")
    assert snapshot(place) == before
    package(one, "kotlin", place, force=True)
    assert (place / "build.gradle.kts").is_file()
    assert not (place / "main.c").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").write_text("mine")
    refusal(OutputError, lambda: package(one, "c", mine, force=True), str(mine), "no package of elir-edge")
    assert (mine / "precious").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(place)
    for name in ("file", "link"):
        refusal(OutputError, lambda name=name: package(one, "c", tmp_path / name, force=True), name, "is no folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "mine", "place"]


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["c", "kotlin"])
def test_verify_of_a_packaged_model_names_the_package_s_own_self_test(lang, one, tmp_path):
    (model,) = package(one, lang, tmp_path / "p").rglob("*.tflite")
    error = refusal(MissingInputError, lambda: load_golden(load_artifact(model)), "model of a package", "self-test")
    assert "README.md" in error.hint


@pytest.mark.slow
def test_a_failure_half_way_leaves_the_old_package(one, tmp_path, monkeypatch):
    place = package(one, "c", tmp_path / "place")
    before = snapshot(place)
    rename = Path.rename

    def fails(path, target):
        if path.name == place.name and path.parent.suffix == ".commit":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(Exception, match="No space left"):
        package(one, "cpp", place, force=True)
    assert snapshot(place) == before
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


@pytest.mark.slow
def test_artifacts_that_cannot_be_packaged_are_refused(one, tmp_path):
    noise = TensorSpec("noise", (1, 16, 16, 4), "float32", "NHWC", "standard normal")
    other = Artifact(one.path, dataclasses.replace(one.manifest, inputs=(*one.manifest.inputs, noise)))
    refusal(UsageError, lambda: package(other, "c", tmp_path / "c"), "image, noise", "--noise baked:0")
    other = Artifact(one.path, dataclasses.replace(one.manifest, target="onnx"))
    refusal(UsageError, lambda: package(other, "c", tmp_path / "c"), "'onnx'", "--target tflite")
    tensor = dataclasses.replace(one.manifest.inputs[0], dtype="int8")
    other = Artifact(one.path, dataclasses.replace(one.manifest, inputs=(tensor,)))
    refusal(UsageError, lambda: package(other, "c", tmp_path / "c"), "'image' is int8", "--io uint8")
    refusal(UsageError, lambda: package(one, "rust", tmp_path / "c"), "'rust'", "c, cpp, kotlin")
    refusal(UsageError, lambda: package(one, "kotlin", tmp_path / "c", embed=True), "--embed")
    refusal(MissingInputError, lambda: package(tmp_path / "none.tflite", "c", tmp_path / "c"), "none.tflite")
    shutil.copytree(one.path.parent, tmp_path / "copy")
    changed = tmp_path / "copy" / one.path.name
    golden_path(changed).unlink()
    refusal(MissingInputError, lambda: package(changed, "c", tmp_path / "c"), golden_path(changed).name)
    changed.write_bytes(changed.read_bytes()[:-1])
    refusal(DataError, lambda: package(changed, "c", tmp_path / "c"), str(changed))
    refusal(DataError, lambda: package(Artifact(changed, one.manifest), "c", tmp_path / "c"), str(changed))
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_an_artifact_exported_without_a_golden_file_is_run_instead(one, tmp_path):
    old = Artifact(one.path, dataclasses.replace(one.manifest, golden=None))
    folder, other = package(old, "c", tmp_path / "old"), package(one, "c", tmp_path / "new")
    image = read_ppm(folder / "selftest" / "image.ppm")
    np.testing.assert_array_equal(image, read_ppm(other / "selftest" / "image.ppm"))
    np.testing.assert_array_equal(read_ppm(folder / "selftest" / "restored.ppm"), in_python(one, image))


@pytest.mark.slow
def test_packaging_needs_neither_torch_nor_a_converter(one, tmp_path):
    code = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED!r}))
from elir_edge.cli import run
sys.exit(run(["package", sys.argv[1], "--lang", "c", "-o", sys.argv[2]]))
"""
    command = [sys.executable, "-c", code, str(one.path), str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment())
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_command_line(one, tmp_path):
    done = run_process("package", one.path, "--lang", "c", "--embed", "-o", tmp_path / "c", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["path"], report["embed"]) == (str(tmp_path / "c"), True)
    assert set(report["files"]) == {name for name, kind in snapshot(tmp_path / "c").items() if kind != "folder"}
    again = run_process("package", one.path, "--lang", "c", "-o", tmp_path / "c")
    assert (again.code, "--force replaces it" in again.err) == (73, True)
    shown = run_process("package", one.path, "--lang", "kotlin", "-o", tmp_path / "c", "--force")
    assert shown.code == 0, shown.err
    assert "README.md" in shown.out


def test_identifiers():
    for name, expected in (
        ("nano", "nano"), ("My Model-2", "my_model_2"), ("8x", "model_8x"), ("Ünïcode", "n_code"), ("!!", "model"),
    ):  # fmt: skip
        assert identifier_of(name) == expected


def test_literals_are_plain_ascii_and_mean_the_text():
    assert kotlin_value(kotlin_string(HOSTILE)) == HOSTILE
    assert "$" not in kotlin_string(HOSTILE)
    for literal in (c_string(HOSTILE), kotlin_string(HOSTILE), one_line(HOSTILE)):
        assert "\n" not in literal
        assert literal[1:-1].count('"') == 0
    assert c_string('a"b?') == '"a\\042b\\077"'
    assert "*" not in one_line(HOSTILE)
    assert "|" not in one_line(HOSTILE)


def test_a_template_without_its_value_is_an_error():
    with pytest.raises(ValueError, match="settings: no value for id"):
        render({"settings": "kotlin/settings.gradle.kts"}, {})
