"""A process that does not outlive the one that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int | None = None) -> None:
    """Let the system kill this process when the thread that started it ends. Does nothing on other systems than Linux.

    A stopped process ends too, which no end of file would tell. ``parent``: process id of the one that started this
    one: where it is gone already, this one ends at once. None: it is not looked for.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
