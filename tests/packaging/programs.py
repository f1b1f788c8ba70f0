"""Building and running the programs of packages, for tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import SPEC

DATA = Path(__file__).parents[1] / "data"
STRICT = ["-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-qual"]
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def needs(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed here: {', '.join(missing)}")


def litert_library() -> Path:
    """The installed libLiteRt.so."""
    return Path(importlib.util.find_spec("ai_edge_litert").origin).with_name("libLiteRt.so")


def build(folder, litert, output, *sources, compiler=("gcc", "-std=c11"), flags=("-O2",)):
    """Compile sources of a package with its library and the model inside, if there is one."""
    names = [
        *sources,
        "elir_restorer.c",
        "elir_tiled.c",
        "tiny_model.c",
        "ppm.c",
        *(path.name for path in folder.glob("*.S")),
    ]
    command = [*compiler, *STRICT, *flags, "-Wa,-I.", *names, str(litert), "-lm", f"-Wl,-rpath,{litert.parent}"]
    done = subprocess.run([*command, "-o", output], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(folder, *command, **environment):
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | environment, timeout=300
    )


def add_program(folder, name):
    """Write a test program into a package, with its placeholders filled in."""
    text = (DATA / "c" / name).read_text()
    (folder / name).write_text(text.replace("@{id}", "tiny").replace("@{variable}", "elir_tiny"))


def write_ppm(path, pixels):
    path.write_bytes(b"P6\n# of a test\n%d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes())


def read_ppm(path):
    head, size, levels, pixels = path.read_bytes().split(b"\n", 3)
    assert (head, levels) == (b"P6", b"255")
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def random_frame(seed=5, height=SPEC.size, width=SPEC.size):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def kotlin_compiler():
    """The jars of the Kotlin kernel for Jupyter, which contain the compiler; none if it is not installed."""
    spec = importlib.util.find_spec("run_kotlin_kernel")
    folder = Path(spec.origin).parent / "jars" if spec and spec.origin else Path(os.environ.get("KOTLIN_JARS", "none"))
    return sorted(folder.glob("*.jar"))


def compile_kotlin(folder, check, place):
    """Compile the package at ``folder`` and the program ``check``, a template of tests/data, into ``place``.

    Returns the beginning of the command that runs it; the class of the program follows.
    """
    text = (DATA / "kotlin" / f"{check}.kt.in").read_text().replace("@NAMESPACE@", "elir.edge.tiny_restorer")
    (place / f"{check}.kt").write_text(text)
    (library,) = (jar for jar in kotlin_compiler() if jar.name.startswith("kotlin-stdlib"))
    sources = [*(DATA / "kotlin").glob("*.kt"), *folder.rglob("*.kt"), place / f"{check}.kt"]
    compiled = run(
        place, "java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-cp", os.pathsep.join(map(str, kotlin_compiler())),
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-Werror", "-no-stdlib", "-no-reflect", "-cp", str(library),
        "-d", "classes", *map(str, sources),
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr
    return ["java", f"-Dmodule={folder}", "-cp", f"classes{os.pathsep}{library}"]
