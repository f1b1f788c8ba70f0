"""Where the tool keeps what it may throw away: downloads, tuning checkpoints, npm packages."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

from elir_edge.errors import StorageError

APP = "elir-edge"


def cache_folder(name: str) -> Path:
    """The folder ``name`` of the user's cache, made on demand; a temporary one where no home can be written.

    ``ELIR_EDGE_CACHE`` overrides the place, else it is the operating system's usual one (``XDG_CACHE_HOME`` counts on
    Linux). Raises StorageError where the temporary one belongs to somebody else.
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
    """A folder in the system's temporary one, which on POSIX is shared: nobody else may have made ours there."""
    user = os.getuid() if hasattr(os, "getuid") else None
    root = Path(tempfile.gettempdir()) / (APP if user is None else f"{APP}-{user}")
    root.mkdir(exist_ok=True, mode=0o700)
    if root.is_symlink() or (user is not None and root.lstat().st_uid != user):
        raise StorageError(f"{root}: belongs to somebody else", hint="set ELIR_EDGE_CACHE to a folder of your own")
    (root / name).mkdir(exist_ok=True)
    return root / name
