"""The stack on which a thread runs its signal handlers, kept from libraries that set one and free it elsewhere."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """``stack_t`` of Linux's ``signal.h``."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def keep_signal_stack() -> Iterator[None]:
    """Give this thread its own stack for signal handlers back after the block.

    OpenVINO's CPU plug-in sets one for the thread that loads it, and frees it in the thread that drops the last object
    of the plug-in. Where that is another one, as with objects that the garbage collector finds, the first thread's
    handlers run on memory that is gone: Ctrl-C ends the process by SIGSEGV (OpenVINO 2026.4.1, Linux).
    """
    if sys.platform != "linux":
        yield
        return
    set_stack = ctypes.CDLL(None).sigaltstack
    before, after = _Stack(), _Stack()
    set_stack(None, ctypes.byref(before))
    try:
        yield
    finally:
        set_stack(None, ctypes.byref(after))
        if (after.place, after.flags) != (before.place, before.flags):
            set_stack(ctypes.byref(before), None)  # it fails where a processor's registers need a larger one
