"""elir-edge: few-step latent flow restoration models, from a PyTorch checkpoint to artifacts for small devices.

Everything public is imported on first use, so that running an artifact needs neither torch nor a converter.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "load_restorer": "elir_edge.weights",
    "lower": "elir_edge.lowering.pipeline",
    "export": "elir_edge.exporting",
    "open_session": "elir_edge.runtime",
    "package": "elir_edge.packaging.package",
    "load_artifact": "elir_edge.artifact",
    "restore_picture": "elir_edge.restore",
    "read_picture": "elir_edge.images",
    "write_picture": "elir_edge.images",
    "verify": "elir_edge.golden",
    "fit_artifact": "elir_edge.fitting",
    "fit_model": "elir_edge.fitting",
    "compile_artifact": "elir_edge.compiling",
    "get_device": "elir_edge.device_files",
    "validate": "elir_edge.validation",
    "load_spec": "elir_edge.spec",
    "ModelSpec": "elir_edge.spec",
    "Restorer": "elir_edge.model.restorer",
    "Artifact": "elir_edge.artifact",
    "Session": "elir_edge.runtime.base",
    "ElirEdgeError": "elir_edge.errors",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'elir_edge' has no attribute '{name}'")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__
