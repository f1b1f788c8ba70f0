"""How much memory this process may have, and how much it had at most: what a message about too little names."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_USE = Path("/sys/fs/cgroup/memory.current")
CGROUP_PARTS = Path("/sys/fs/cgroup/memory.stat")
STATUS = Path("/proc/self/status")
LIMITS = Path("/proc/self/limits")
MACHINE = Path("/proc/meminfo")
ADDRESS_SPACE = "Max address space"
MB = 1_000_000


def address_limit() -> int | None:
    """Bytes of address space that this process may have (``ulimit -v``); None where that is not limited.

    Linux tells it in a file: where memory has run out, the module ``resource`` may not load any more.
    """
    try:
        lines = LIMITS.read_text().splitlines()
        limits = next(line.removeprefix(ADDRESS_SPACE) for line in lines if line.startswith(ADDRESS_SPACE))
        soft = limits.split()[0]
        return int(soft) if soft.isdecimal() else None
    except (OSError, StopIteration):
        return _address_limit_of_posix()


def address_room() -> int | None:
    """Bytes that are left of ``address_limit``; None where that is not limited or the system does not tell."""
    limit, taken = address_limit(), _status("VmSize:")
    return None if limit is None or taken is None else limit - taken


def _address_limit_of_posix() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def group_limit() -> int | None:
    """Bytes of memory that this process's control group may have; None where none is stated."""
    try:
        return int(CGROUP_LIMIT.read_text())
    except (OSError, ValueError):  # "max"
        return None


def _group_room() -> int | None:
    """Bytes that are left of ``group_limit``; None where none is stated or the system does not tell."""
    limit = group_limit()
    if limit is None:
        return None
    try:
        parts = dict(line.split() for line in CGROUP_PARTS.read_text().splitlines())
        cached = int(parts["file"]) - int(parts["shmem"])  # the system gives it up where memory is asked for
        return limit - int(CGROUP_USE.read_text()) + cached
    except (OSError, ValueError, KeyError):
        return limit


def memory_room() -> int | None:
    """Bytes that this process can have at most beyond what it has; None where the system does not tell."""
    known = [room for room in (address_room(), _group_room(), _machine_room()) if room is not None]
    return min(known) if known else None


def _machine_room() -> int | None:
    """Bytes of memory and swap space that no program has taken."""
    try:
        lines = dict(line.split(":", 1) for line in MACHINE.read_text().splitlines())
        return sum(int(lines[key].split()[0]) * 1024 for key in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError, IndexError):
        return None


def peak_address_space() -> int | None:
    """The most address space that this process has had, in bytes; None where the system does not tell."""
    return _status("VmPeak:")


def _status(key: str) -> int | None:
    try:
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def peak_of_children() -> int | None:
    """The most memory that a child process which has ended had, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * scale or None


def memory_facts(used: int | None = None) -> str:
    """What is known about this process's memory, for a message: `` (1000 MB allowed, 870 MB used)``; may be empty."""
    limit = address_limit()
    used = used if used is not None or limit is None else peak_address_space()
    allowed = limit or group_limit()
    parts = [f"{allowed // MB} MB allowed"] if allowed else []
    parts += [f"{used // MB} MB used, and more needed"] if used else []
    return f" ({', '.join(parts)})" if parts else ""


def forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of ``error`` and of what led to it: their frames keep all that the functions worked on.

    They stay as text, a note of ``error``, which Python shows with it.
    """
    if error.__traceback__ is not None:
        error.add_note("It came from:\n" + "".join(traceback.format_exception(error)))
    led: BaseException | None = error
    while led is not None:
        led.__traceback__, led = None, led.__cause__ or led.__context__
