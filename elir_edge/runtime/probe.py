"""Load untrusted files in a child process, so that a crash becomes an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import Manifest
from elir_edge.artifacts.split import SUFFIX
from elir_edge.core.child import ChildError, run_child
from elir_edge.core.files import files_of
from elir_edge.errors import DataError, ElirEdgeError
from elir_edge.runtime.backend import get_backend, usual_backend
from elir_edge.runtime.base import AGAIN, unusable
from elir_edge.runtime.session import open_session
from elir_edge.runtime.split import read_split_manifest

TIMEOUT_SECONDS = 60
SECONDS_A_MB = 2  # what is large may take long to run
MAX_REASON = 500
MB = 1_000_000


def probe(path: Path, backend: str | None = None) -> Manifest:
    """Load the artifact at ``path`` in a child process, in ``backend`` or the usual one, and run it once on zeros.

    Returns the manifest inside it: opening a graph whose structure is damaged may succeed, and running it crash.
    Raises UsageError for a file of another kind, UnavailableError where its runtime is not installed, DataError where
    that fails, crashes or takes longer than 60 s and 2 s a megabyte, or there is no manifest inside.
    """
    chosen = get_backend(backend) if backend else usual_backend(path)
    whole = str(path.absolute())
    request = {"path": whole, "backend": chosen.name}
    subject = f"{path}: cannot be loaded"
    try:
        reply = run_child(f"{__name__}:try_out", request, subject, hint=AGAIN, timeout=_timeout(path))
    except ElirEdgeError as error:
        kind = DataError if isinstance(error, ChildError) else type(error)
        raise kind(str(error).replace(whole, str(path)), error.hint) from error
    text = reply.answer["manifest"]
    if not text:
        raise DataError(
            f"{path}: holds no elir-edge manifest", hint="only artifacts of elir-edge export are understood"
        )
    return Manifest.from_json(text, f"{path} (manifest inside)")


def try_out(request: dict[str, str]) -> dict[str, Any]:
    """In the child: read the manifest inside, open a session, which runs the runtime's own checks, and run it once.

    What holds no manifest is not run. Raises DataError where that fails in whatever way, ResourceError where memory
    runs out: damage leads a runtime to raise anything.
    """
    path = Path(request["path"])
    try:
        module = get_backend(request["backend"]).load()
        with open_session(path, request["backend"]) as session:
            text = read_split_manifest(path).to_json() if path.suffix == SUFFIX else module.read_manifest(path)
            if text:
                session.run({tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in session.inputs})
        return {"manifest": text}
    except ElirEdgeError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
        raise unusable(path, "damaged; loading it failed", RuntimeError(reason)) from error


def _timeout(path: Path) -> float:
    size = sum(file.stat().st_size for file in files_of(path)) if path.exists() else 0
    return TIMEOUT_SECONDS + SECONDS_A_MB * size / MB
