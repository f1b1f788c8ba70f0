"""The C and C++ packages: a library on LiteRT's C API, an example program, a CMake file."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

import numpy as np

from elir_edge.core.template import fill
from elir_edge.packaging.facts import Facts, PackagedTensor
from elir_edge.packaging.prose import common_values, litert_version
from elir_edge.packaging.render import c_string, float_digits, one_line, render

TYPES = {"float32": "ELIR_FLOAT32", "uint8": "ELIR_UINT8"}
LIBRARY = (
    "elir_restorer.h",
    "elir_restorer.c",
    "elir_tiled.h",
    "elir_tiled.c",
    "elir_litert.h",
    "ppm.h",
    "ppm.c",
    "elir_yuv.h",
    "elir_yuv.c",
    "camera.c",
)
EMBED_OPTIONS = """set_source_files_properties(@{id}_data.S PROPERTIES
  OBJECT_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/@{id}.tflite")
"""
C_EXAMPLE = """elir_restorer *restorer;
elir_status status = elir_open(&@{variable}, @{path}, 0, &restorer);
if (status == ELIR_OK) {
    status = elir_restore(restorer, width, height, image, image_stride, restored, restored_stride);
}
if (status != ELIR_OK) {
    fprintf(stderr, "%s\\n", elir_message(status));
}
elir_close(restorer);"""
CPP_EXAMPLE = """elir::Restorer restorer(@{variable}, @{path});
restorer.restore(width, height, image, image_stride, restored, restored_stride);"""
LATENT = """    .latent =
        {
            .name = @{name},
            .type = @{type},
            .shape = {@{shape}},
            .scale = 1.0f,
            .zero_point = 0,
        },
"""
STEPS = """
`elir_set_steps` chooses the number of Euler steps of the restorations that follow, 1 to @{steps}, which is what
`elir_open` begins with. Fewer are faster, and give another picture. `restore --steps 1` and a last argument of `camera`
call it.
"""
COMPILE = {
    "C": "cc -std=c11 -O2 @{sources} main.c ppm.c libLiteRt.so -lm -Wl,-rpath,$PWD -o restore",
    "C++": "cc -std=c11 -O2 -c @{sources} ppm.c\n"
    "c++ -std=c++17 -O2 main.cpp *.o libLiteRt.so -Wl,-rpath,$PWD -o restore",
}


def c_files(facts: Facts, embed: bool) -> dict[str, bytes]:
    """The files of a C package by name; ``embed`` links the model into the program."""
    path = "NULL" if embed else f'"{facts.model_file}"'
    values = _values(facts, embed) | {
        "main": "main.c",
        "languages": "C ASM" if embed else "C",
        "language": "C",
        "language_features": "",
        "fence": "c",
        "example": fill(C_EXAMPLE, {"variable": _variable(facts), "path": path}),
        "compile_command": fill(COMPILE["C"], {"sources": _sources(facts, embed)}),
        "file_table": _file_table(facts, embed),
    }
    return _package(facts, values, embed, {"main.c": "c/main.c"})


def cpp_files(facts: Facts, embed: bool) -> dict[str, bytes]:
    """The files of a C++ package by name: those of a C package, and a class on its API."""
    path = "nullptr" if embed else f'"{facts.model_file}"'
    values = _values(facts, embed) | {
        "main": "main.cpp",
        "languages": "C CXX ASM" if embed else "C CXX",
        "language": "C++",
        "language_features": "target_compile_features(restore PRIVATE cxx_std_17)\n",
        "fence": "cpp",
        "example": fill(CPP_EXAMPLE, {"variable": _variable(facts), "path": path}),
        "compile_command": fill(COMPILE["C++"], {"sources": _sources(facts, embed)}),
        "file_table": f"{_file_table(facts, embed)}\n| `elir_restorer.hpp` | the C API as a class |",
    }
    more = {"elir_restorer.hpp": "cpp/elir_restorer.hpp", "main.cpp": "cpp/main.cpp"}
    return _package(facts, values, embed, more)


def _package(facts: Facts, values: dict[str, object], embed: bool, more: dict[str, str]) -> dict[str, bytes]:
    """The files of the library, those of the templates ``more``, the model and its self-test."""
    name = facts.identifier
    templates = {file: f"c/{file}" for file in (*LIBRARY, "CMakeLists.txt", "README.md")}
    templates |= {f"{name}_model.{ending}": f"c/model.{ending}" for ending in ("h", "c")}
    if embed:
        templates[f"{name}_data.S"] = "c/data.S"
    return render(templates | more, values) | {
        facts.model_file: facts.content,
        f"{facts.model_file}.json": facts.packaged_manifest().to_json().encode(),
        "selftest/image.ppm": _ppm(facts.image),
        "selftest/restored.ppm": _ppm(facts.restored),
    }


def _values(facts: Facts, embed: bool) -> dict[str, object]:
    name, manifest, variable = facts.identifier, facts.manifest, _variable(facts)
    return {
        "id": name,
        "symbol": variable.upper(),
        "variable": variable,
        "name_literal": c_string(str(manifest.spec["name"])),
        "data_declaration": f"\nextern const unsigned char {variable}_data[];\n" if embed else "",
        "data": f"{variable}_data" if embed else "NULL",
        "default_model": "NULL" if embed else f'"{facts.model_file}"',
        "cmake_model_argument": "" if embed else f'--model "${{CMAKE_CURRENT_SOURCE_DIR}}/{facts.model_file}" ',
        "shell_model_argument": "" if embed else f"--model {facts.model_file} ",
        "assembly_source": f" {name}_data.S" if embed else "",
        "assembly_options": fill(EMBED_OPTIONS, {"id": name}) if embed else "",
        "model_line": one_line(f"{manifest.spec['name']}: {manifest.spec['task']}, {manifest.precision}"),
        "weights_line": one_line(f"{manifest.weights['name']}, sha256 {manifest.weights['sha256']}"),
        **_tensor_values("input", facts.input),
        **_tensor_values("output", facts.output),
        **_steps_values(facts),
        "litert_version": litert_version(facts),
        **common_values(facts),
    }


def _tensor_values(role: str, tensor: PackagedTensor) -> dict[str, object]:
    spec = tensor.spec
    return {
        f"{role}_name": c_string(spec.name),
        f"{role}_type": TYPES[spec.dtype],
        f"{role}_shape": ", ".join(map(str, spec.shape)),
        f"{role}_scale": f"{float_digits(tensor.scale)}f",
        f"{role}_zero_point": tensor.zero_point,
        f"{role}_line": one_line(f"{spec.name}: {spec.dtype} {'x'.join(map(str, spec.shape))}, {spec.values}"),
    }


def _steps_values(facts: Facts) -> dict[str, object]:
    latent, most = facts.latent, facts.steps
    if latent is None:
        return {"steps": most, "steps_line": "Euler steps.", "steps_section": "", "latent": ""}
    shape = ", ".join(map(str, latent.spec.shape))
    named = {"name": c_string(latent.spec.name), "type": TYPES[latent.spec.dtype], "shape": shape}
    return {
        "steps": most,
        "steps_line": "The most Euler steps: elir_set_steps takes 1 to so many.",
        "steps_section": fill(STEPS, {"steps": most}),
        "latent": fill(LATENT, named),
    }


def _file_table(facts: Facts, embed: bool) -> str:
    name = facts.identifier
    model = f"`{facts.model_file}`"
    data = f"| {model}, `{name}_data.S` | the model, and the assembly that links it in |"
    return "\n".join(
        (
            "| `elir_restorer.h`, `.c` | the library: open, restore, close |",
            "| `elir_tiled.h`, `.c` | frames of any size, if you need them |",
            "| `elir_yuv.h`, `.c` | frames of cameras, YUV420, if you have such |",
            "| `elir_litert.h` | what it needs of LiteRT's C API |",
            f"| `{name}_model.h`, `.c` | the model's size, types, scales and checksum |",
            data if embed else f"| {model} | the model, loaded when the program runs |",
        )
    )


def _sources(facts: Facts, embed: bool) -> str:
    name = facts.identifier
    return f"elir_restorer.c elir_tiled.c {name}_model.c" + (f" {name}_data.S" if embed else "")


def _variable(facts: Facts) -> str:
    """The name of the model's constant. Neither it nor the macros that begin with it are names of the library's own:
    ``elir_model`` is one of them, and ``ELIR_ERROR_STEPS`` is what a model called ``error`` would define.
    """
    name = f"elir_{facts.identifier}"
    taken = any(word == name or word.startswith(f"{name}_") for word in library_names())
    return f"{name}_model" if taken else name


@cache
def library_names() -> frozenset[str]:
    """All words of the library that begin with ``elir_``, in lower case: they include its macros' beginnings."""
    folder = resources.files("elir_edge.packaging") / "templates" / "c"
    texts = [(folder / file).read_text(encoding="utf-8") for file in LIBRARY]
    return frozenset(word.lower() for text in texts for word in re.findall(r"\belir_\w+", text, re.IGNORECASE))


def _ppm(pixels: np.ndarray) -> bytes:
    """uint8 H x W x 3 as a binary PPM file."""
    return b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + np.ascontiguousarray(pixels).tobytes()
