"""Loading files that nobody vouches for in a child process: a native crash there is an error here, not our end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import Manifest
from elir_edge.artifacts.split import SUFFIX
from elir_edge.core.child import ChildError, run_child
from elir_edge.errors import DataError, ElirEdgeError
from elir_edge.runtime.backend import get_backend, usual_backend
from elir_edge.runtime.session import open_session
from elir_edge.runtime.split import read_split_manifest

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
    """In the child: open a session, which runs the runtime's own checks, and read the manifest inside.

    Raises DataError where loading fails in whatever way: damage leads a runtime to raise anything.
    """
    path = Path(request["path"])
    try:
        open_session(path, request["backend"]).close()
        if path.suffix == SUFFIX:
            return {"manifest": read_split_manifest(path).to_json()}
        return {"manifest": get_backend(request["backend"]).load().read_manifest(path)}
    except ElirEdgeError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
        raise DataError(f"{path}: damaged; loading it failed ({reason})", AGAIN) from error
