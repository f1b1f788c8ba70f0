"""Run functions in a child process, so that a native crash becomes an error. Requests and answers are JSON.

``run_child`` calls one function once; ``Child`` keeps a process that answers several questions. The child's side is
``elir_edge.core.child_side``.
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
    """A child process died, or did not answer in time. ``said`` is the end of its output."""

    def __init__(self, message: str, hint: str | None = None, said: str = "") -> None:
        super().__init__(message, hint)
        self.said = said


@dataclass(frozen=True)
class Reply:
    """``answer`` is what the function returned, ``said`` the end of what it and its libraries printed."""

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
    """Call ``function`` (``package.module:name``) on ``request`` in a child process; returns what it returned.

    Args:
        function: takes and returns a dict that JSON can hold. subject: start of error messages: the file and the task.
        hint: what to do if the child dies. timeout: seconds until the child is killed; None: no limit.
        memory_bytes: limit of the child's address space, on systems that have such a limit; None: no limit.

    Raises:
        ChildError: the child died (the message has the signal or the status) or took too long. Any ElirEdgeError that
        the function raised, with message and hint. DataError: it raised something else. ResourceError: out of memory.
    """
    with tempfile.TemporaryFile() as printed, _start(printed) as child:
        try:
            given = job_line(function, request, memory_bytes=memory_bytes, parent=os.getpid())
            out, _ = child.communicate(given, timeout)
        except subprocess.TimeoutExpired as error:
            child.kill()
            slow = "try again when the machine is less busy" + (f"; if that changes nothing, {hint}" if hint else "")
            raise ChildError(f"{subject}: no answer within {timeout:.3g} s", slow, last_words(printed)) from error
        except BaseException:
            child.kill()
            raise
        said = last_words(printed)
    message = _parse(out)
    if message is None:
        raise ChildError(f"{subject}: {describe_end(child.returncode, said)}", hint, said)
    return Reply(answer_in(message, subject), said)


class Child:
    """A child process that answers questions until it is closed; ``greeting`` is its first answer.

    ``function`` takes ``request`` and returns the greeting and a function from question to answer. The child is stopped
    (SIGSTOP) between questions: runtimes keep threads spinning after a run, which would slow other processes. On Linux
    it ends with the thread that made it, also where that is killed.

    Raises what ``run_child`` raises, with ``name`` before the message.
    """

    def __init__(self, function: str, request: Answer, name: str) -> None:
        self.name = name
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the child)
        self._child = _start(self._printed)
        try:
            self._write(job_line(function, request, talk=True, parent=os.getpid()))
            self.greeting = self._read()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def ask(self, question: Answer) -> Answer:
        """Send one question; returns the answer."""
        self._signal("SIGCONT")
        self._write(json.dumps(question) + "\n")
        return self._read()

    def close(self) -> None:
        """Kill the child. Calling it again does nothing."""
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
            f"{self.name}: {describe_end(status, said)}", hint="run it again; if it happens again, report it", said=said
        )


def child_command() -> list[str]:
    """The command that starts a child. The child reads its job, a ``job_line``, from stdin."""
    return [sys.executable, "-P", "-c", BOOTSTRAP, str(PACKAGE_FOLDER)]


def job_line(
    function: str, request: Answer, talk: bool = False, memory_bytes: int | None = None, parent: int | None = None
) -> str:
    """A job as the line of JSON that the child reads.

    ``talk``: answer questions after the first answer. ``parent``: process id of the one that starts the child, without
    which it ends.
    """
    job = {
        "function": function, "request": request, "talk": talk, "memory_bytes": memory_bytes, "parent": parent,
    }  # fmt: skip
    return json.dumps(job) + "\n"


def answer_in(message: Answer, subject: str, prefix: str = "") -> Answer:
    """The answer in a child's message. If the message holds an error, raises it as the class it had in the child."""
    if "error" not in message:
        return dict(message["answer"])
    told = message["error"]
    kind = getattr(errors, str(told["kind"]), None)
    if isinstance(kind, type) and issubclass(kind, ElirEdgeError):
        raise kind(prefix + told["message"], told["hint"])
    raise DataError(f"{subject}: {told['message']}", hint="run it again; if it happens again, report it")


def describe_end(status: int, said: str) -> str:
    """A sentence that says how a process ended: its signal or status, and the last line of ``said``."""
    lines = said.strip().splitlines()
    words = f": {lines[-1].strip()[:SHOWN_WORDS]}" if lines else ""
    if status < 0:
        return f"its process died (signal {-status}, {signal.Signals(-status).name}){words}"
    if status >= WINDOWS_CRASH:
        return f"its process died (status {status:#x}){words}"
    return f"its process ended without an answer (status {status}){words}"


def last_words(printed: IO[bytes]) -> str:
    """The last 20,000 bytes of a child's output."""
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
    """The message in ``line``; None if the line is cut short or holds something else."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and message.keys() & {"answer", "error"} else None
