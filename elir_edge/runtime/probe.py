"""Loading what nobody vouches for, in a process of its own: a native crash there is an error here, not our end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import elir_edge
from elir_edge.artifacts.artifact import Manifest
from elir_edge.errors import DataError, ElirEdgeError
from elir_edge.runtime.backend import get_backend, usual_backend

TIMEOUT_SECONDS = 60
MAX_REASON = 500
CODE = """
import json, os, sys
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.path.append(sys.argv[2])
from elir_edge.runtime.probe import load_and_tell
with answer:
    json.dump(load_and_tell(sys.argv[1], sys.argv[3]), answer)
"""


def probe(path: Path, backend: str | None = None) -> Manifest:
    """Load the artifact at ``path`` in a child process, in ``backend`` or the usual one; the manifest inside it.

    Raises UsageError for a file of another kind, UnavailableError where its runtime is not installed, DataError where
    loading fails, crashes or takes longer than 60 s, or there is no manifest inside.
    """
    chosen = get_backend(backend) if backend else usual_backend(path)
    root = str(Path(elir_edge.__file__).absolute().parents[1])
    command = [sys.executable, "-P", "-c", CODE, str(path.absolute()), root, chosen.name]
    try:
        child = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{path}: loading it took more than {TIMEOUT_SECONDS} s") from error
    if child.returncode < 0:
        raise DataError(f"{path}: damaged; loading it crashed the runtime (signal {-child.returncode})")
    try:
        told = json.loads(child.stdout)
    except ValueError as error:
        raise DataError(f"{path}: damaged; loading it ended the runtime (status {child.returncode})") from error
    if "error" in told:
        raise _error(told["code"])(told["error"].replace(str(path.absolute()), str(path)), told["hint"])
    if not told["manifest"]:
        raise DataError(
            f"{path}: holds no elir-edge manifest", hint="only artifacts of elir-edge export are understood"
        )
    return Manifest.from_json(told["manifest"], f"{path} (manifest inside)")


def load_and_tell(path: str, backend: str) -> dict[str, Any]:
    """In the child: the manifest inside the artifact, or the error that loading it raised."""
    try:
        return {"manifest": _load(Path(path), backend)}
    except ElirEdgeError as error:
        return {"error": str(error)[:MAX_REASON], "hint": error.hint, "code": error.exit_code}
    except Exception as error:  # damage leads a runtime to raise anything
        reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
        return {"error": f"{path}: damaged; loading it failed ({reason})", "hint": None, "code": DataError.exit_code}


def _load(path: Path, backend: str) -> str | None:
    """Open a session, which runs the runtime's own checks, and read the manifest."""
    module = get_backend(backend).load()
    module.open_session(path, None, ()).close()
    text: str | None = module.read_manifest(path)
    return text


def _error(code: int) -> type[ElirEdgeError]:
    return next((kind for kind in ElirEdgeError.__subclasses__() if kind.exit_code == code), DataError)
