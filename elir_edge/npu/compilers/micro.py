"""tflite-micro: measures the arena in its interpreter and writes the list of ops to link; the model is not changed.

The interpreter runs in a child process: it prints its memory on stderr only, and may crash on a model.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.golden import Golden, has_golden, load_golden
from elir_edge.core.child import ChildError, run_child
from elir_edge.core.plain import identifier_of
from elir_edge.errors import missing_package
from elir_edge.formats.tflite.file import read_file
from elir_edge.formats.tflite.flatmodel import op_names
from elir_edge.npu.compiler import KIB, Compilation, Compiler, Job
from elir_edge.validation.verify import distance_to_golden, golden_feeds

TRIAL_ARENA = 1 << 30
MAX_REASON = 300
GREY = 128
ALLOCATED = re.compile(r"Arena allocation total (\d+) bytes")
SPECIAL_NAMES = {"PADV2": "PadV2", "RELU6": "Relu6"}


def compile_job(job: Job) -> Compilation:
    """Run the golden picture (or a grey one) in tflite-micro's interpreter, copy the model, write the op resolver."""
    if importlib.util.find_spec("tflite_micro") is None:
        raise missing_package("tflite-micro", "micro")
    source = job.artifact.path
    names = op_names(read_file(source))
    unknown = tuple(name for name in names if name not in job.device.shared.ops)
    if unknown:
        return Compilation((), len(names), unknown)
    golden = load_golden(job.artifact) if has_golden(job.artifact) else None
    if golden is None:
        job.progress.note("note: no golden file beside the artifact: its picture is not compared")
    with job.progress.stage("running it in the interpreter of tflite-micro"):
        arena, picture, error = _run_once(job, golden)
    if error:
        return Compilation((), len(names), compiled=False, problems=(f"tflite-micro cannot run it and said: {error}",))
    figures: dict[str, Any] = {"arena_bytes": arena}
    problems = [] if golden is None else _check_picture(job, picture, golden, figures)
    model, resolver = job.folder / f"{job.stem}.tflite", job.folder / f"{job.stem}_ops.h"
    shutil.copyfile(source, model)
    resolver.write_text(resolver_header(job.stem, names, arena), encoding="utf-8")
    memory = job.device.memory
    used = {memory.arena: arena / KIB} if memory.arena else {}
    if memory.weights:
        used[memory.weights] = used.get(memory.weights, 0.0) + model.stat().st_size / KIB
    rounded = {name: round(kib, 1) for name, kib in used.items()}
    return Compilation((model, resolver), len(names), (), rounded, figures, tuple(problems))


def resolver_header(stem: str, names: list[str], arena_bytes: int) -> str:
    """A C++ header that registers exactly the ops in ``names`` with tflite-micro and has the arena's size.

    Its namespace is the file's own, so that a firmware may have several models.
    """
    ops = sorted({adder(name) for name in names})
    own = f"{identifier_of(stem)}_ops"
    guard = f"ELIR_{own.upper()}_H"
    return "\n".join(
        [
            "// Written by elir-edge compile: the operators of the model, and the arena that they needed.",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"',
            "",
            "namespace elir {",
            f"namespace {own} {{",
            "",
            f"constexpr int kOps = {len(ops)};",
            f"constexpr int kArenaBytes = {arena_bytes};  // as the interpreter told on a 64-bit machine",
            "",
            "using OpResolver = tflite::MicroMutableOpResolver<kOps>;",
            "",
            "inline TfLiteStatus RegisterOps(OpResolver& resolver) {",
            *(f"  if (resolver.{op}() != kTfLiteOk) return kTfLiteError;" for op in ops),
            "  return kTfLiteOk;",
            "}",
            "",
            f"}}  // namespace {own}",
            "}  // namespace elir",
            "",
            f"#endif  // {guard}",
            "",
        ]
    )


def adder(name: str) -> str:
    """The resolver's method for an op of the TFLite schema: CONV_2D -> AddConv2D."""
    words = (word if word == "2D" else word.capitalize() for word in name.split("_"))
    return "Add" + SPECIAL_NAMES.get(name, "".join(words))


def _run_once(job: Job, golden: Golden | None) -> tuple[int, np.ndarray, str]:
    """Run the model once; returns the arena in bytes, the output H x W x 3, and the error ("" if there is none)."""
    height, width = job.artifact.manifest.size
    shown = golden or Golden(np.full((height, width, 3), GREY, np.uint8), None, np.empty(0))
    given, result = job.folder / "feeds.npz", job.folder / "restored.npy"
    np.savez(given, allow_pickle=False, **golden_feeds(job.artifact.manifest, shown))
    request = {"model": str(job.artifact.path.absolute()), "feeds": str(given), "result": str(result)}
    try:
        reply = run_child(f"{__name__}:interpret", request, str(job.artifact.path))
    except ChildError as error:
        return 0, shown.pixels, f"{error.said} {error}"[-MAX_REASON:]
    total, problem = ALLOCATED.search(reply.said), reply.answer["error"]
    if problem or total is None:
        words = " ".join([*reply.said.splitlines(), problem]).strip()
        return 0, shown.pixels, words[:MAX_REASON] or "nothing"
    return int(total[1]), np.load(result, allow_pickle=False)[0], ""


def interpret(request: dict[str, str]) -> dict[str, Any]:
    """In the child: run the model once and write its output; the interpreter prints its arena. Returns the error."""
    from tflite_micro.python.tflite_micro import runtime

    arrays = dict(np.load(request["feeds"], allow_pickle=False))
    try:
        interpreter = runtime.Interpreter.from_file(request["model"], arena_size=TRIAL_ARENA)
        for index, name in enumerate(_input_order(request["model"])):
            interpreter.set_input(arrays[name], index)
        interpreter.invoke()
        np.save(request["result"], interpreter.get_output(0))
        interpreter.print_allocations()
    except Exception as error:  # the interpreter's errors have no class of their own
        return {"error": f"{type(error).__name__}: {error}"}
    return {"error": ""}


def _input_order(model: str) -> list[str]:
    graph = read_file(Path(model)).subgraphs[0]
    return [graph.tensors[index].name.decode() for index in graph.inputs]


def _check_picture(job: Job, picture: np.ndarray, golden: Golden, figures: dict[str, Any]) -> list[str]:
    """Add the PSNR to the golden output to ``figures``; returns the problem if it is below the limit."""
    found = distance_to_golden(picture, golden, job.artifact.manifest)
    figures |= {"psnr_to_recorded_db": found.psnr_db, "allowed_db": found.allowed_db}
    if found.too_far:
        return [f"its picture is {found.too_far} from the recorded one, {found.allowed_db} dB is asked"]
    return []


COMPILER = Compiler(
    name="micro",
    description="tflite-micro",
    takes=".tflite",
    suffixes=(".tflite", "_ops.h"),
    package="tflite-micro",
    extra="micro",
    advice="give it a quantized .tflite",
    target="tflite",
    compile=compile_job,
)
