"""Processes that die in the middle of writing: what tests of the watching process run."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path

from elir_edge.core.publish import staging, write_in


def stage_and_call(arguments: list[str]) -> int:
    """Begin to write ``arguments[0]``, then call the function ``arguments[1]``, which ends this process."""
    place, function = arguments
    with staging(Path(place)) as folder:
        write_in(folder, "half", b"half")
        module, _, name = function.partition(":")
        getattr(importlib.import_module(module), name)()
    return 0


def exit_at_once() -> None:
    """As native code does it: no handler, no cleaning up."""
    os._exit(1)


def stage_and_stay(place: Path) -> None:
    """Leave behind what a run that was killed leaves."""
    child = os.fork()
    if child == 0:
        with staging(place) as folder:
            write_in(folder, "half", b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
