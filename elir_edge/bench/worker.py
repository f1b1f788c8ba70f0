"""The child process that runs one contestant.

Its greeting has the seconds of the cold start: ``import_s`` (the runtime), ``load_s`` (reading and compiling),
``first_s`` (the first picture). The question ``{"run": N}`` is answered with ``samples``, the seconds of N runs;
``{"restore": A, "to": B}`` restores the pictures in the .npy file A and writes them to B.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.bench.machine import system_library
from elir_edge.bench.runners import Runner, open_runner
from elir_edge.core.child import Answer

PHOTOGRAPH = "astronaut"


def peak_bytes() -> int:
    """Peak resident memory of this process in bytes.

    psutil has it on Windows only. Linux has it in /proc; getrusage would also count the parent's memory from before
    the child's program was loaded.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    if sys.platform == "win32":
        return int(system_library().Process().memory_info().peak_wset)
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def open_worker(request: Answer) -> tuple[Answer, Callable[[Answer], Answer]]:
    """Load the model and restore one picture; returns the greeting and the function that answers questions."""
    from elir_edge.imaging.pictures import builtin_photograph, fit_picture

    import_s = _seconds(lambda: _import_runtime(request))
    start = time.perf_counter()
    runner = open_runner(request)
    load_s = time.perf_counter() - start
    runner.prepare(fit_picture(builtin_photograph(PHOTOGRAPH), *request["size"]))
    first_s = _seconds(runner.run_first)
    greeting = {
        "import_s": import_s,
        "load_s": load_s,
        "first_s": first_s,
        "device": runner.device,
        "device_name": runner.device_name,
        "arithmetic": runner.arithmetic,
        "pictures": runner.pictures,
        "placement": runner.placement(),
        "peak_bytes": peak_bytes(),
    }
    return greeting, lambda question: _handle(runner, question)


def _handle(runner: Runner, question: Answer) -> Answer:
    if "restore" in question:
        restored = [runner.restore(pixels) for pixels in np.load(question["restore"])]
        np.save(question["to"], np.stack(restored))
        return {}
    samples = [_seconds(runner.run) for _ in range(question["run"])]
    return {"samples": samples, "peak_bytes": peak_bytes(), "device_peak_bytes": runner.device_peak_bytes()}


def _import_runtime(request: Answer) -> None:
    from elir_edge.runtime.backend import backends

    if request.get("backend") in backends():
        backends()[request["backend"]].load()


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
