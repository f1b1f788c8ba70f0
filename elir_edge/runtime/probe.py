"""Load untrusted files in a child process, so that a crash becomes an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import Manifest
from elir_edge.core.child import ChildError, run_child
from elir_edge.errors import DataError, ElirEdgeError
from elir_edge.runtime.backend import get_backend, usual_backend

TIMEOUT_SECONDS = 60
MAX_REASON = 500
AGAIN = "it is damaged: copy it again, or export it again"


def probe(path: Path, backend: str | None = None) -> Manifest:
    """Load the artifact at ``path`` in a child process, in ``backend`` or the usual one; the manifest inside it.

    Raises UsageError for a file of another kind, UnavailableError where its runtime is not installed, DataError where
    loading fails, crashes or takes longer than 60 s, or there is no manifest inside.
    """
    chosen = get_backend(backend) if backend else usual_backend(path)
    whole = str(path.absolute())
    request = {"path": whole, "backend": chosen.name}
    subject = f"{path}: cannot be loaded"
    try:
        reply = run_child(f"{__name__}:load_manifest", request, subject, hint=AGAIN, timeout=TIMEOUT_SECONDS)
    except ElirEdgeError as error:
        kind = DataError if isinstance(error, ChildError) else type(error)
        raise kind(str(error).replace(whole, str(path)), error.hint) from error
    text = reply.answer["manifest"]
    if not text:
        raise DataError(
            f"{path}: holds no elir-edge manifest", hint="only artifacts of elir-edge export are understood"
        )
    return Manifest.from_json(text, f"{path} (manifest inside)")


def load_manifest(request: dict[str, str]) -> dict[str, Any]:
    """In the child: open a session, so that the runtime checks the file, and return the manifest inside.

    Raises DataError if loading fails with any exception: a damaged file can make a runtime raise any.
    """
    path = Path(request["path"])
    try:
        module = get_backend(request["backend"]).load()
        module.open_session(path, None, ()).close()
        return {"manifest": module.read_manifest(path)}
    except ElirEdgeError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
        raise DataError(f"{path}: damaged; loading it failed ({reason})", AGAIN) from error
