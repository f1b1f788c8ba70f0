"""What to say where the process that did the work died in native code, and what it left behind."""

from __future__ import annotations

import itertools
import shutil
import signal
import tempfile
from pathlib import Path

from elir_edge.core.commit import sweep
from elir_edge.core.memory import MB, address_limit, group_limit, peak_of_children
from elir_edge.core.publish import DEFAULT_FOLDER
from elir_edge.core.watch import Ending
from elir_edge.errors import MORE_MEMORY, DataError, ElirEdgeError, ResourceError, StorageError

OUTPUT_OPTIONS = ("-o", "--out")
FULL_BELOW_BYTES = 16 * MB
NEAR = 0.8


def sweep_outputs(arguments: list[str]) -> None:
    """Remove, or finish, what runs that were killed left where ``arguments`` want their output."""
    for folder in sorted(_output_folders(arguments)):
        sweep(folder)


def how_it_died(ending: Ending, arguments: list[str]) -> ElirEdgeError:
    """The error for a process that died without having said why: disk, memory, a damaged artifact, else a bug."""
    what = _in_words(ending.status)
    full = [folder for folder in (Path(tempfile.gettempdir()), *_output_folders(arguments)) if _is_full(folder)]
    if full:
        free = shutil.disk_usage(full[0]).free / MB
        return StorageError(
            f"{full[0]}: only {free:.1f} MB are left there, and the work {what}",
            hint="free some space, or set TMPDIR to a folder with more of it",
        )
    if _ran_out_of_memory(ending):
        return ResourceError(f"not enough memory: the work {what}", hint=MORE_MEMORY)
    suffixes = _artifact_suffixes()
    artifacts = [text for text in arguments if Path(text).suffix in suffixes and Path(text).exists()]
    if artifacts:
        return DataError(
            f"{', '.join(artifacts)}: a runtime {what} on it",
            hint="it is damaged, or made to do that: copy it again, or export it again",
        )
    return ElirEdgeError(
        f"the work {what} in native code", hint="run it again; if it happens again, report it with the command"
    )


def _output_folders(arguments: list[str]) -> set[Path]:
    """Existing folders in which outputs may be: that of each output, the output itself, the default one."""
    named = [text for option, text in itertools.pairwise(arguments) if option in OUTPUT_OPTIONS]
    for option in OUTPUT_OPTIONS:
        named += [
            text.removeprefix(option).lstrip("=") for text in arguments if text.startswith(option) and text != option
        ]
    folders = {folder for text in named if text for folder in (Path(text), Path(text).parent)}
    return {folder for folder in folders | {DEFAULT_FOLDER} if folder.is_dir()}


def _artifact_suffixes() -> set[str]:
    """Endings of what backends open, those of other packages too. It is asked for here: commands start without it."""
    from elir_edge.artifacts.split import SUFFIX
    from elir_edge.runtime.backend import OWN, backends

    try:
        known = list(backends().values())
    except ElirEdgeError:  # of an entry point: why the work died matters more
        known = list(OWN)
    return {SUFFIX, *(suffix for backend in known for suffix in backend.suffixes)}


def _in_words(status: int) -> str:
    if status >= 0:
        return f"ended at once with status {status}"
    return f"died (signal {-status}, {signal.Signals(-status).name})"


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < FULL_BELOW_BYTES
    except OSError:
        return False


def _ran_out_of_memory(ending: Ending) -> bool:
    """Killed from outside, as Linux does it, or dead under a limit that was nearly reached."""
    if ending.status == -signal.SIGKILL or address_limit() is not None:
        return True
    limit, used = group_limit(), peak_of_children()
    return limit is not None and used is not None and used > NEAR * limit
