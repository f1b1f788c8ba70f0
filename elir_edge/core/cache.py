"""Where the tool keeps what it may throw away: downloads and locks."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from elir_edge.errors import StorageError


def cache_folder(name: str) -> Path:
    """The folder ``name`` of the user's cache, made on demand; a temporary one where no home can be written.

    ``ELIR_EDGE_CACHE`` overrides the place, else ``XDG_CACHE_HOME`` as usual. Raises StorageError where the temporary
    one belongs to somebody else.
    """
    base = os.environ.get("ELIR_EDGE_CACHE")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elir-edge"
    try:
        (root / name).mkdir(parents=True, exist_ok=True)
        if os.access(root / name, os.W_OK):
            return root / name
    except OSError:
        pass
    return _temporary(name)


def _temporary(name: str) -> Path:
    root = Path(tempfile.gettempdir()) / f"elir-edge-{os.getuid()}"
    root.mkdir(exist_ok=True, mode=0o700)
    if root.is_symlink() or root.lstat().st_uid != os.getuid():
        raise StorageError(f"{root}: belongs to somebody else", hint="set ELIR_EDGE_CACHE to a folder of your own")
    (root / name).mkdir(exist_ok=True)
    return root / name
