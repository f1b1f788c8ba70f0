"""Vela, Arm's offline compiler for Ethos-U: from an int8 .tflite to a .tflite with command streams."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

from elir_edge.core.child import run_child
from elir_edge.errors import ConfigError, DataError, missing_package
from elir_edge.formats.tflite.file import read_file
from elir_edge.formats.tflite.flatmodel import custom_codes, op_names
from elir_edge.npu.compiler import KIB, Compilation, Compiler, Job
from elir_edge.npu.device import KnownDevice, Memory

CONFIGURATION = "Arm/vela.ini"
CACHED = "Dedicated_Sram"
CACHE_SIZE = "arena-cache-size"
CACHE_SHARES = (0.96, 0.92, 0.88, 0.8)
OVERRUN = "Failed to allocate tensors"
OWN_OPTIONS = ("output-dir", "output-format")
NPU_OP = "ethos-u"
MAX_REASON = 300
MEMORIES = {"sram": "sram_memory_used", "dram": "dram_memory_used", "flash": "off_chip_flash_memory_used"}
CONSTANTS = "on_chip_flash_memory_used"


def compile_job(job: Job) -> Compilation:
    """Compile for speed, and again for size if the SRAM is then too small and the device states no ``optimise``.

    If the SRAM is a cache, Vela may fail because its schedule needs more than the stated cache. It is then run again
    with smaller stated sizes, which make it stay within the real one. Raises ConfigError for options it cannot have.
    """
    if importlib.util.find_spec("ethosu") is None:
        raise missing_package("ethos-u-vela", "vela")
    options = _options(job.device)
    first = _vela(job, options)
    memory = job.device.memory
    chosen = "optimise" in job.device.options
    if not chosen and memory.arena == "sram" and first.memory_kib.get("sram", 0) > memory.sram_kib:
        return _vela(job, options | {"optimise": "Size"})
    cache_kib = int(options.get(CACHE_SIZE, 0)) / KIB
    for share in CACHE_SHARES if cache_kib else ():
        if first.compiled or not any(OVERRUN in problem for problem in first.problems):
            break
        first = _vela(job, options | {CACHE_SIZE: str(int(cache_kib * share) * KIB)})
    return first


def _vela(job: Job, options: dict[str, str]) -> Compilation:
    source, optimise = job.artifact.path, options["optimise"]
    ops = len(op_names(read_file(source)))
    folder = job.folder / f"{optimise}-{options.get(CACHE_SIZE)}"
    arguments = [item for key, value in options.items() for item in (f"--{key}", value)]
    with job.progress.stage(f"Vela for {job.device.name}, optimising {optimise.lower()}"):
        failed, said = _run([str(source.absolute()), *arguments, "--output-dir", str(folder)], source)
    compiled = folder / f"{source.stem}_vela.tflite"
    summaries = list(folder.glob("*_summary_*.csv"))
    if failed or not compiled.is_file() or len(summaries) != 1:
        return Compilation((), ops, compiled=False, problems=(f"Vela could not compile it and said: {said}",))
    result = compiled.rename(folder / f"{job.stem}.tflite")
    summary = _summary(summaries[0])
    return Compilation(
        files=(result,),
        ops=ops,
        cpu_ops=_cpu_ops(result),
        memory_kib=_memory_kib(summary, job.device.memory),
        figures=_figures(summary, optimise) if float(summary["cycles_total"]) else {},
        options=options,
    )


def _run(arguments: list[str], source: Path) -> tuple[bool, str]:
    """Run Vela in a child process; returns whether it failed, and the reason from its output."""
    try:
        reply = run_child(f"{__name__}:run_vela", {"arguments": arguments}, str(source))
    except DataError as error:
        return True, str(error)[:MAX_REASON]
    return bool(reply.answer["status"]), _reason([*reply.said.splitlines(), reply.answer["error"]])


def run_vela(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: run Vela's command line. Returns its exit ``status``, and the ``error`` if it raised one."""
    from ethosu.vela import vela

    try:
        return {"status": vela.main(request["arguments"]), "error": ""}
    except SystemExit as stop:
        return {"status": stop.code, "error": ""}
    except Exception as error:  # Vela's own classes share no base with a name
        return {"status": 1, "error": f"{type(error).__name__}: {error}"}


def _options(device: KnownDevice) -> dict[str, str]:
    """Vela's options: the device's, and what stands for those that it leaves out."""
    options = {"optimise": "Performance"} | device.options
    for name in OWN_OPTIONS:
        if name in options:
            raise ConfigError(
                f"{device.name}: the compiler's option '{name}' is set by elir-edge itself",
                hint=f"remove {name} from the device's options; -o names the output",
            )
    if "system-config" in options:
        options.setdefault("config", CONFIGURATION)
    if options.get("memory-mode", "").startswith(CACHED) and device.memory.sram_kib:
        options.setdefault(CACHE_SIZE, str(device.memory.sram_kib * KIB))
    if not options.get(CACHE_SIZE, "0").isdecimal():
        raise ConfigError(
            f"{device.name}: {CACHE_SIZE} is '{options[CACHE_SIZE]}', no number of bytes", hint=f"write {CACHE_SIZE}=N"
        )
    return options


def _memory_kib(summary: dict[str, str], memory: Memory) -> dict[str, float]:
    """KiB by the device's names of its memories.

    "On-chip flash" holds constants only, and is Vela's name for SRAM that holds them too (``Sram_Only``).
    """
    used = {name: float(summary[key]) for name, key in MEMORIES.items()}
    used[memory.weights or memory.arena or "flash"] += float(summary[CONSTANTS])
    return {name: round(kib, 1) for name, kib in used.items() if kib}


def _figures(summary: dict[str, str], optimise: str) -> dict[str, Any]:
    return {
        "inferences_per_second": round(float(summary["inferences_per_second"]), 2),
        "cycles": int(float(summary["cycles_total"])),
        "clock_mhz": round(float(summary["core_clock"]) / 1e6),
        "macs": int(float(summary["nn_macs"])),
        "optimised_for": optimise.lower(),
    }


def _cpu_ops(path: Path) -> tuple[str, ...]:
    """Ops of the compiled file that are no command stream. Vela returns 0 even if no operator runs on the NPU."""
    model = read_file(path)
    return tuple(name for name, custom in zip(op_names(model), custom_codes(model), strict=True) if custom != NPU_OP)


def _summary(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) != 1 or "inferences_per_second" not in rows[0]:
        raise DataError(
            f"{path.name}: not the summary that Vela 5 writes",
            hint="install the ethos-u-vela that elir-edge[vela] asks for",
        )
    return rows[0]


def _reason(lines: list[str]) -> str:
    """The lines from the first one that has "Error" on; if there is none, the last line."""
    lines = [line.strip() for line in lines if line.strip()] or ["nothing"]
    at = next((i for i, line in enumerate(lines) if "Error" in line), len(lines) - 1)
    return " ".join(lines[at:])[:MAX_REASON]


COMPILER = Compiler(
    name="vela",
    description="Vela, for Arm Ethos-U,",
    takes=".tflite",
    suffixes=(".tflite",),
    package="ethos-u-vela",
    extra="vela",
    advice="Ethos-U computes integers only",
    target="tflite",
    compile=compile_job,
)
