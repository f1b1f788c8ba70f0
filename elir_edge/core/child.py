"""Work in a process of its own: asked in JSON, answered in JSON, so that a native crash there is an error here.

``run_child`` calls one function and gives what it returns; ``Child`` keeps talking to one. What the child's side does
is in ``elir_edge.core.child_side``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from elir_edge import errors
from elir_edge.errors import DataError, ElirEdgeError

Answer = dict[str, Any]
LAST_WORDS = 20_000
SHOWN_WORDS = 300
WINDOWS_CRASH = 0xC0000000  # statuses from here on are exceptions that nobody caught
# This very package, wherever it was imported from, and never what lies in the current folder (-P).
IMPORT_THE_PACKAGE = """
import sys
root = sys.argv[1]
sys.path.insert(0, root)
import elir_edge
sys.path.remove(root)
sys.path.append(root)
"""
BOOTSTRAP = (
    IMPORT_THE_PACKAGE
    + """
from elir_edge.core.child_side import main
main()
"""
)
PACKAGE_FOLDER = Path(__file__).absolute().parents[2]


class ChildError(DataError):
    """A child process died, or did not answer in time. ``said`` is the end of what it had printed."""

    def __init__(self, message: str, hint: str | None = None, said: str = "") -> None:
        super().__init__(message, hint)
        self.said = said


@dataclass(frozen=True)
class Reply:
    """What a child returned, and the end of what it and its libraries printed meanwhile."""

    answer: Answer
    said: str


def run_child(
    function: str,
    request: Answer,
    subject: str,
    *,
    hint: str | None = None,
    timeout: float | None = None,
    memory_bytes: int | None = None,
) -> Reply:
    """Call ``function`` (``package.module:name``) on ``request`` in a child process, and give what it returned.

    Args:
        function: takes and returns a dict that JSON can hold. subject: what an error is about: file and deed.
        hint: what to do where the child dies. timeout: seconds until it is ended; None for no limit.
        memory_bytes: the address space it may have, where the system can limit that.

    Raises:
        ChildError: it died, which names the signal or status, or took too long. Any ElirEdgeError that the function
        raised, with message and hint. DataError: it raised something else. ResourceError: memory ran out.
    """
    with tempfile.TemporaryFile() as printed, _start(printed) as child:
        try:
            given = job_line(function, request, memory_bytes=memory_bytes)
            out, _ = child.communicate(given, timeout)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise ChildError(f"{subject}: no answer within {timeout:.3g} s", hint, last_words(printed)) from error
        except BaseException:
            child.kill()
            raise
        said = last_words(printed)
    message = _parse(out)
    if message is None:
        raise ChildError(f"{subject}: {how_it_ended(child.returncode, said)}", hint, said)
    return Reply(answer_in(message, subject), said)


class Child:
    """Keeps a child process that answers questions; ``greeting`` is what it says first.

    ``function`` takes ``request`` and returns the greeting and what answers a question. The child stands still while
    nothing is asked of it: runtimes keep threads spinning for a while after a run, which would slow whoever comes next.
    Raises what ``run_child`` does, with ``name`` before the message.
    """

    def __init__(self, function: str, request: Answer, name: str) -> None:
        self.name = name
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the child)
        self._child = _start(self._printed)
        try:
            self._write(job_line(function, request, talk=True))
            self.greeting = self._read()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The child's process."""
        return self._child.pid

    def ask(self, question: Answer) -> Answer:
        """The answer to one question."""
        self._signal("SIGCONT")
        self._write(json.dumps(question) + "\n")
        return self._read()

    def close(self) -> None:
        """End the child. Closing twice is allowed."""
        self._child.kill()
        self._child.communicate()
        self._printed.close()

    def _write(self, line: str) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line)
            self._child.stdin.flush()
        except OSError as error:
            raise self._death() from error

    def _read(self) -> Answer:
        assert self._child.stdout is not None
        message = _parse(self._child.stdout.readline())
        if message is None:
            raise self._death()
        answer = answer_in(message, self.name, prefix=f"{self.name}: ")
        self._signal("SIGSTOP")
        return answer

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)  # Windows has neither: there the child runs on
        if number is not None and self._child.poll() is None:
            os.kill(self._child.pid, number)

    def _death(self) -> ChildError:
        status, said = self._child.wait(), last_words(self._printed)
        return ChildError(
            f"{self.name}: {how_it_ended(status, said)}", hint="run it again; if it happens again, report it", said=said
        )


def child_command() -> list[str]:
    """The command that starts a child; what it is to do comes as the first line of its stdin, see ``job_line``."""
    return [sys.executable, "-P", "-c", BOOTSTRAP, str(PACKAGE_FOLDER)]


def job_line(function: str, request: Answer, talk: bool = False, memory_bytes: int | None = None) -> str:
    """What a child is to do, as it reads it."""
    job = {"function": function, "request": request, "talk": talk, "memory_bytes": memory_bytes}
    return json.dumps(job) + "\n"


def answer_in(message: Answer, subject: str, prefix: str = "") -> Answer:
    """The answer that a child's message holds. Raises the error that it holds, as the class that was raised there."""
    if "error" not in message:
        return dict(message["answer"])
    told = message["error"]
    kind = getattr(errors, str(told["kind"]), None)
    if isinstance(kind, type) and issubclass(kind, ElirEdgeError):
        raise kind(prefix + told["message"], told["hint"])
    raise DataError(f"{subject}: {told['message']}", hint="run it again; if it happens again, report it")


def how_it_ended(status: int, said: str) -> str:
    """Why there is no answer: the signal or status of a process, and its last line."""
    lines = said.strip().splitlines()
    words = f": {lines[-1].strip()[:SHOWN_WORDS]}" if lines else ""
    if status < 0:
        return f"its process died (signal {-status}, {signal.Signals(-status).name}){words}"
    if status >= WINDOWS_CRASH:
        return f"its process died (status {status:#x}){words}"
    return f"its process ended without an answer (status {status}){words}"


def last_words(printed: IO[bytes]) -> str:
    """The end of what a child printed."""
    printed.seek(0, os.SEEK_END)
    printed.seek(max(0, printed.tell() - LAST_WORDS))
    return printed.read().decode(errors="replace")


def _start(printed: IO[bytes]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        child_command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=printed,
        encoding="utf-8",
        errors="replace",
    )


def _parse(line: str) -> Answer | None:
    """A child's message; None for anything else, such as half of one."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and message.keys() & {"answer", "error"} else None
