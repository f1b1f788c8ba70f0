"""elir-edge: few-step latent flow restoration models, from a PyTorch checkpoint to artifacts for small devices.

Everything public is imported on first use, so that running an artifact needs neither torch nor a converter.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "load_restorer": "elir_edge.families.weights",
    "lower": "elir_edge.lowering.lower",
    "export": "elir_edge.pipeline.export",
    "open_session": "elir_edge.runtime.session",
    "package": "elir_edge.packaging.package",
    "load_artifact": "elir_edge.artifacts.artifact",
    "restore": "elir_edge.runtime.batch",
    "open_demo": "elir_edge.runtime.demo",
    "Settings": "elir_edge.runtime.settings",
    "restore_picture": "elir_edge.runtime.restore",
    "read_picture": "elir_edge.imaging.pictures",
    "write_picture": "elir_edge.imaging.pictures",
    "verify": "elir_edge.validation.verify",
    "fit_artifact": "elir_edge.npu.fit",
    "fit_model": "elir_edge.npu.fit",
    "compile_artifact": "elir_edge.npu.compile",
    "get_device": "elir_edge.npu.device",
    "validate": "elir_edge.validation.validate",
    "load_spec": "elir_edge.families.spec",
    "ModelSpec": "elir_edge.families.elir.spec:ElirSpec",
    "Restorer": "elir_edge.families.restorer",
    "Artifact": "elir_edge.artifacts.artifact",
    "Session": "elir_edge.runtime.base",
    "ElirEdgeError": "elir_edge.errors",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'elir_edge' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute or name)


def __dir__() -> list[str]:
    return __all__
