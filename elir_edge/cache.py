"""Where the tool keeps what it may throw away: downloads and locks."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder ``name`` of the user's cache, made on demand; a temporary one where no home can be written.

    ``ELIR_EDGE_CACHE`` overrides the place, else ``XDG_CACHE_HOME`` as usual.
    """
    base = os.environ.get("ELIR_EDGE_CACHE")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elir-edge"
    try:
        (root / name).mkdir(parents=True, exist_ok=True)
        return root / name
    except OSError:
        fallback = Path(tempfile.gettempdir()) / f"elir-edge-{os.getuid()}" / name
        fallback.mkdir(parents=True, exist_ok=True, mode=0o700)
        return fallback
