"""A child process that forks writers, each of which kills itself right before one of its file operations.

It is small, and so are its forks: those of the test process would copy the page tables of every library loaded there.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elir_edge.core.commit import recover
from elir_edge.core.publish import write_file
from tests.artifacts.samples import write_artifact, write_folder

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "os.listdir", "fcntl.flock")
WORKS: dict[str, Callable[..., None]] = {
    work.__name__: work for work in (write_artifact, write_folder, write_file, recover)
}


def serve(request: dict[str, Any]) -> tuple[dict[str, Any], Callable[[dict[str, Any]], dict[str, Any]]]:
    """In the child: an empty greeting, and a function that answers whether a work survives a moment."""
    return {}, answer


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """``work`` is called with the path and the ``arguments``, text as bytes, and killed before operation ``moment``."""
    tempfile.tempdir = question["temporary"]
    arguments = [item.encode() if isinstance(item, str) else tuple(item) for item in question["arguments"]]
    work = WORKS[question["work"]]
    return {"survives": survives(lambda: work(Path(question["path"]), *arguments), question["moment"])}


def survives(work: Callable[[], None], moment: int) -> bool:
    """Run ``work`` in a forked process that kills itself right before its file operation number ``moment``."""
    child = os.fork()
    if child == 0:
        count = itertools.count(1)

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in EVENTS and next(count) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0
