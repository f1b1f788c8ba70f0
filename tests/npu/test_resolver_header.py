"""The C++ header of tflite-micro's operators, against a resolver that counts what is registered."""

import shutil
import subprocess

import pytest

from elir_edge.npu.compilers.micro import resolver_header

RESOLVER = """#pragma once
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
namespace tflite {
template <int N> struct MicroMutableOpResolver {
    int count = 0;
    TfLiteStatus AddAdd() { return ++count <= N ? kTfLiteOk : kTfLiteError; }
    TfLiteStatus AddMul() { return AddAdd(); }
    TfLiteStatus AddConv2D() { return AddAdd(); }
};
}
"""
MODELS = {"4x-micro": ["ADD"], "new": ["MUL"], "nano": ["CONV_2D", "ADD", "ADD"]}
SPACES = ("model_4x_micro_ops", "new_ops", "nano_ops")
MAIN = """#include <cstdio>
%s
template <class Resolver> int count(TfLiteStatus (*add)(Resolver &)) {
    Resolver resolver;
    return add(resolver) == kTfLiteOk ? resolver.count : -1;
}
int main() {
    std::printf("%%d %%d %%d", %s);
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_several_models_live_in_one_firmware(tmp_path):
    """Their headers in one file and in two, also with names that are words of C++ or begin with a digit."""
    place = tmp_path / "tensorflow" / "lite" / "micro"
    place.mkdir(parents=True)
    (place / "micro_mutable_op_resolver.h").write_text(RESOLVER)
    for stem, ops in MODELS.items():
        (tmp_path / f"{stem}_ops.h").write_text(resolver_header(stem, ops, 5))
    includes = [f'#include "{stem}_ops.h"' for stem in MODELS]
    counts = ", ".join(f"count(elir::{space}::RegisterOps)" for space in SPACES)
    (tmp_path / "main.cc").write_text(MAIN % ("\n".join(includes), counts))
    (tmp_path / "other.cc").write_text(f"{includes[0]}\nint other() {{ return elir::{SPACES[0]}::kArenaBytes; }}\n")
    command = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-I.", "main.cc", "other.cc", "-o", "firmware"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["./firmware"], cwd=tmp_path, capture_output=True, text=True).stdout == "1 1 2"
