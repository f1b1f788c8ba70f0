"""A child process that answers JSON lines: asked on its stdin, it answers one line each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from elir_edge.errors import DataError, ElirEdgeError, UnavailableError

Answer = dict[str, Any]
LAST_WORDS = 2000


class Child:
    """Runs ``module`` with ``request`` as its argument; ``greeting`` is what it says first.

    It stands still (SIGSTOP) while nothing is asked of it: runtimes keep threads spinning for a while after a run,
    which would slow whoever comes next. Raises DataError where it fails or dies, UnavailableError where it says that
    a device or library is not there.
    """

    def __init__(self, module: str, request: Answer, name: str) -> None:
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the child)
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", module, json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        try:
            self.greeting = self._answer()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The child's process."""
        return self._child.pid

    def ask(self, question: Answer) -> Answer:
        """The answer to one question."""
        assert self._child.stdin is not None
        self._signal(signal.SIGCONT)
        try:
            self._child.stdin.write(json.dumps(question) + "\n")
            self._child.stdin.flush()
        except OSError as error:
            raise DataError(self._death()) from error
        return self._answer()

    def close(self) -> None:
        """End the child. Closing twice is allowed."""
        self._child.kill()
        self._child.communicate()
        self._said.close()

    def _answer(self) -> Answer:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise DataError(self._death())
        answer: Answer = json.loads(line)
        if "error" in answer:
            kind = UnavailableError if answer.get("unavailable") else DataError
            raise kind(f"{self.name}: {answer['error']}")
        self._signal(signal.SIGSTOP)
        return answer

    def _signal(self, number: int) -> None:
        if self._child.poll() is None:
            os.kill(self._child.pid, number)

    def _death(self) -> str:
        status = self._child.wait()
        said = os.pread(self._said.fileno(), LAST_WORDS, max(0, os.fstat(self._said.fileno()).st_size - LAST_WORDS))
        lines = said.decode(errors="replace").strip().splitlines()
        return f"{self.name}: its process died (status {status}{', ' + lines[-1] if lines else ''})"


def serve(request: Answer, open_handler: Callable[[Answer], tuple[Answer, Callable[[Answer], Answer]]]) -> None:
    """The child's side: greet, then answer every question from stdin; ends when that does.

    ``open_handler`` gives the greeting, and what answers questions. What a library prints does not get in between.
    """
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    questions = (json.loads(line) for line in sys.stdin)
    for message in answers(request, open_handler, questions):
        channel.write(json.dumps(message) + "\n")
        channel.flush()


def answers(
    request: Answer,
    open_handler: Callable[[Answer], tuple[Answer, Callable[[Answer], Answer]]],
    questions: Iterator[Answer],
) -> Iterator[Answer]:
    """The messages of one child; the last is an ``error`` where something fails."""
    try:
        greeting, handle = open_handler(request)
        yield greeting
        for question in questions:
            yield handle(question)
    except ElirEdgeError as error:
        yield {"error": str(error), "unavailable": isinstance(error, UnavailableError)}
    except Exception as error:  # a runtime raises anything; the reason must reach the table
        yield {"error": f"{type(error).__name__}: {error}", "unavailable": False}
