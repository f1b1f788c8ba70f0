"""The child's side of ``elir_edge.core.child``: reads a job, calls its function, answers in lines of JSON."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from elir_edge.core.parent import end_with_parent
from elir_edge.errors import ElirEdgeError, ResourceError, is_memory_error

MAX_REASON = 500
Message = dict[str, Any]


def main() -> None:
    """Do the job in the first line of stdin. Descriptor 1 becomes stderr, so that stdout holds answers only."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    end_with_parent(job["parent"])
    with channel:
        for message in messages(job, (json.loads(line) for line in sys.stdin)):
            channel.write(json.dumps(message) + "\n")
            channel.flush()


def messages(job: Message, questions: Iterable[Message]) -> Iterator[Message]:
    """The child's messages: one answer, or with ``talk`` one more for each question; the last may be an error."""
    try:
        if job["memory_bytes"] is not None:
            limit_memory(job["memory_bytes"])
        called = _find(job["function"])(job["request"])
        if not job["talk"]:
            yield {"answer": called}
            return
        greeting, handle = called
        yield {"answer": greeting}
        for question in questions:
            yield {"answer": handle(question)}
    except Exception as error:  # a runtime raises anything; the reason must reach the parent
        yield {"error": error_as_data(error)}


def error_as_data(error: Exception) -> Message:
    """``kind`` (the nearest class of ``elir_edge.errors``, None if there is none), ``message`` and ``hint``."""
    if isinstance(error, ElirEdgeError):
        kind = next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == ElirEdgeError.__module__)
        return {"kind": kind, "message": str(error)[:MAX_REASON], "hint": error.hint}
    reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
    if is_memory_error(error):
        return {"kind": ResourceError.__name__, "message": f"not enough memory ({reason})", "hint": None}
    return {"kind": None, "message": reason, "hint": None}


def limit_memory(count: int) -> None:
    """Limit this process's address space to ``count`` bytes. Does nothing on systems without that limit (Windows)."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard))


def _find(function: str) -> Callable[[Message], Any]:
    module, _, name = function.partition(":")
    found: Callable[[Message], Any] = getattr(importlib.import_module(module), name)
    return found
