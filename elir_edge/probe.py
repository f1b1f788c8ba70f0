"""Loading what nobody vouches for, in a process of its own: a native crash there is an error here, not our end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from elir_edge.artifact import Manifest
from elir_edge.errors import DataError
from elir_edge.runtime import backends_for

TIMEOUT_SECONDS = 60
CODE = """
import sys
from pathlib import Path
from elir_edge.errors import ElirEdgeError
from elir_edge.probe import _load
try:
    sys.stdout.write(_load(Path(sys.argv[1])) or "")
except ElirEdgeError as error:
    sys.exit(f"{error}")
"""


def probe(path: Path) -> Manifest:
    """Load the artifact at ``path`` in a child process; the manifest inside it.

    Raises DataError where loading fails, crashes or takes longer than 60 s, or there is no manifest inside.
    """
    backends_for(path)
    try:
        child = subprocess.run(
            [sys.executable, "-c", CODE, str(path.absolute())], capture_output=True, timeout=TIMEOUT_SECONDS, text=True
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{path}: loading it took more than {TIMEOUT_SECONDS} s") from error
    if child.returncode < 0:
        raise DataError(f"{path}: damaged; loading it crashed the runtime (signal {-child.returncode})")
    if child.returncode:
        lines = child.stderr.strip().splitlines()
        raise DataError(lines[-1] if lines else f"{path}: loading it failed")
    if not child.stdout:
        raise DataError(f"{path}: holds no elir-edge manifest", hint="only artifacts of elir-edge export are understood")
    return Manifest.from_json(child.stdout, f"{path} (manifest inside)")


def _load(path: Path) -> str | None:
    """Open a session, which runs the runtime's own checks, and read the manifest."""
    module = backends_for(path)[0].load()
    module.open_session(path, None, ()).close()
    text: str | None = module.read_manifest(path)
    return text
