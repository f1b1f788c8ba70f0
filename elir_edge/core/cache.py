"""The cache folder: downloads, tuning checkpoints, npm packages. Deleting it loses time only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

from elir_edge.errors import StorageError

APP = "elir-edge"


def cache_folder(name: str) -> Path:
    """Create the folder ``name`` of the user's cache if it is missing, and return it.

    The cache is at ``ELIR_EDGE_CACHE``, else at the operating system's usual place (``XDG_CACHE_HOME`` on Linux), else,
    if that cannot be written, in the temporary folder. Raises StorageError if another user owns the temporary one.
    """
    given = os.environ.get("ELIR_EDGE_CACHE")
    root = Path(given) if given else user_cache_path(APP, appauthor=False)
    try:
        (root / name).mkdir(parents=True, exist_ok=True)
        if os.access(root / name, os.W_OK):
            return root / name
    except OSError:
        pass
    return _temporary(name)


def _temporary(name: str) -> Path:
    """Create the cache in the system's temporary folder. On POSIX all users share that, so the owner is checked."""
    user = os.getuid() if hasattr(os, "getuid") else None
    root = Path(tempfile.gettempdir()) / (APP if user is None else f"{APP}-{user}")
    root.mkdir(exist_ok=True, mode=0o700)
    if root.is_symlink() or (user is not None and root.lstat().st_uid != user):
        raise StorageError(f"{root}: belongs to somebody else", hint="set ELIR_EDGE_CACHE to a folder of your own")
    (root / name).mkdir(exist_ok=True)
    return root / name
