"""A process that watches another one at work, so that there is always somebody left to say how it ended.

Converters and runtimes are native code: they may crash, call ``exit``, or not come back to Python for minutes. The
watched process does the work with the terminal's own streams; the watching one, which loads nothing native, passes
signals on, ends what does not heed them, and knows an exit status that was meant from one that happened.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from elir_edge.core.child import IMPORT_THE_PACKAGE, PACKAGE_FOLDER
from elir_edge.core.parent import end_with_parent

GRACE_SECONDS = 10.0
PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP")
WATCHED = """
from elir_edge.core.watch import work
work(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
"""


@dataclass(frozen=True)
class Ending:
    """How a watched process ended: ``meant`` is the exit status that it stated, None where it never got to that.

    ``status`` is the system's: negative for a signal. ``asked`` is the number of the signal that was passed on.
    """

    meant: int | None
    status: int
    asked: int | None


def can_watch() -> bool:
    """Whether processes can be watched here: descriptors are inherited by number on POSIX only."""
    return os.name == "posix"


def watch(function: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Ending:
    """Call ``function`` (``package.module:name``) on ``arguments`` in a process with these streams, to its end.

    It returns the exit status. ``environment`` is added to that of this process. Where this process dies, so does that
    one.
    """
    told, tell = os.pipe()
    alive, life = os.pipe()  # its end of file tells the watched process that this one is gone
    command = [sys.executable, "-P", "-c", IMPORT_THE_PACKAGE + WATCHED, str(PACKAGE_FOLDER), function]
    try:
        with _Signals() as signals:
            command += [str(tell), str(alive), *arguments]
            child = subprocess.Popen(command, pass_fds=(tell, alive), env=os.environ | environment)
            os.close(tell)
            tell = -1
            status = signals.wait(child)
        return Ending(_number(told), status, signals.asked)
    finally:
        for descriptor in (told, alive, life, *((tell,) if tell >= 0 else ())):
            os.close(descriptor)


def work(function: str, tell: int, alive: int, arguments: list[str]) -> None:
    """The watched side: call the function, state its exit status, and end with it.

    ``sys.argv`` becomes what starts the tool by itself: Lightning starts the processes of further devices with it.
    """
    import importlib

    sys.argv = [str(PACKAGE_FOLDER / "elir_edge" / "__main__.py"), *arguments]
    for descriptor in (tell, alive):
        os.set_inheritable(descriptor, False)
    _die_with_the_watcher(alive)
    module, _, name = function.partition(":")
    status = int(getattr(importlib.import_module(module), name)(arguments))
    with contextlib.suppress(OSError):
        os.write(tell, str(status).encode())
    sys.exit(status)


class Heard:
    """The signal that asked this process to end: its number, None while there is none."""

    def __init__(self, raised: Mapping[str, BaseException]) -> None:
        self.number: int | None = None
        self._raised = raised
        self._error: BaseException | None = None

    def handle(self, number: int, frame: Any) -> None:
        """Raise the error of the first signal that comes; ignore a second one."""
        if self.number is None:
            self.number, self._error = number, self._raised[signal.Signals(number).name]
            self.raise_again()

    def raise_again(self) -> None:
        """Raise the error of the signal that came; nothing without one.

        Work calls it between its stages: libraries with a bare ``except`` swallow the error where it was raised first,
        and native modules that are being imported raise another one.
        """
        if self._error is not None:
            raise self._error

    def tells(self, error: BaseException | None) -> bool:
        """Whether ``error`` is that of the signal that came."""
        return error is not None and error is self._error


@contextmanager
def once(raised: Mapping[str, BaseException]) -> Iterator[Heard]:
    """The first of these signals that comes raises its error in this block; a second one is ignored.

    ``raised`` is by the signal's name; those that the system lacks, or that are ignored already, as ``nohup`` does it,
    are left out. Signals reach the main thread only: elsewhere nothing changes.

    Where Python itself swallows the error, as in the callback of a weak reference, it is not reported on stderr.
    """
    heard = Heard(raised)
    report = sys.unraisablehook
    previous = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in raised if hasattr(signal, name)]
        heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        previous = {number: signal.signal(number, heard.handle) for number in heeded}
    if previous:
        sys.unraisablehook = lambda unraisable: None if heard.tells(unraisable.exc_value) else report(unraisable)
    try:
        yield heard
    finally:
        if previous:
            sys.unraisablehook = report
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Signals:
    """Passes signals on to a child while it is waited for, and kills it where it does not heed them."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for name in PASSED_ON:
            number = getattr(signal, name)
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def wait(self, child: subprocess.Popen[bytes]) -> int:
        """The child's exit status."""
        self._child = child
        if self.asked is not None:  # it came while the child was started
            self._tell_child()
        return child.wait()

    def _pass_on(self, number: int, frame: Any) -> None:
        if self.asked is None:
            self.asked = number
            self._tell_child()

    def _tell_child(self) -> None:
        if self._child is not None and self.asked is not None:
            self._child.send_signal(self.asked)
            threading.Thread(target=_kill_after_grace, args=(self._child,), daemon=True).start()


def _kill_after_grace(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _die_with_the_watcher(alive: int) -> None:
    end_with_parent()
    threading.Thread(target=_wait_for_the_end_of, args=(alive,), daemon=True).start()


def _wait_for_the_end_of(alive: int) -> None:
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def _number(told: int) -> int | None:
    """The number that the watched process wrote; None where it wrote nothing."""
    os.set_blocking(told, False)  # a process that it forked may live on with the other end
    try:
        data = os.read(told, 16)
    except BlockingIOError:
        return None
    return int(data) if data else None
