"""Backends: the runtimes that open artifacts. A backend is a module, listed here or in an entry point."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elir_edge.artifacts.split import runtime_suffix
from elir_edge.core.native import captured_output
from elir_edge.core.plain import installed_version
from elir_edge.core.plugins import add_announced
from elir_edge.errors import (
    MORE_MEMORY,
    ElirEdgeError,
    ResourceError,
    UnavailableError,
    UsageError,
    did_you_mean,
    is_memory_error,
    reason_of,
)

TORCH = "torch"
ENTRY_POINTS = "elir_edge.backends"


@dataclass(frozen=True)
class Backend:
    """A runtime.

    Args:
        name: of the backend. suffixes: of the files and folders that it opens.
        package: the importable package that it needs. install: the argument of ``pip install`` for it.
        module: the module that implements it; it may import the package. It has ``open_session(path, threads,
            stages)``, which returns a Session, ``read_manifest(path)``, which returns the manifest's text or None, and
            ``devices()``, which returns (name, available, description or reason) for each device; the CPU may be left
            out. A ``cpu_only`` one needs no ``devices()``.
        platform: the only value of ``sys.platform`` that it exists on; None: all. elsewhere: message for the others.
        modes: whether its ``open_session`` takes ``mode=``; otherwise it runs on the CPU in one way.
        enters: whether its ``open_session`` takes ``entry=``.
        cpu_only: whether it has no device besides the CPU; listing devices then imports nothing of it.
        lacks: precisions of artifacts that it cannot compute; its ``open_session`` refuses them.
    """

    name: str
    suffixes: tuple[str, ...]
    package: str
    install: str
    module: str
    platform: str | None = None
    elsewhere: str = ""
    modes: bool = False
    enters: bool = False
    cpu_only: bool = False
    lacks: tuple[str, ...] = ()

    def is_installed(self) -> bool:
        """Whether the package is installed; nothing is imported."""
        try:
            return importlib.util.find_spec(self.package) is not None
        except ValueError:  # None in sys.modules: the import is blocked
            return False

    def release(self) -> str:
        """Installed version of its package."""
        return installed_version(self.package.replace("_", "-")) or "of unknown version"

    def why_not_here(self) -> str | None:
        """Why it does not exist on this platform, as a sentence; None where it does."""
        return None if self.platform in (None, sys.platform) else self.elsewhere

    def load(self) -> Any:
        """Its module. Raises UnavailableError, with the pip command, where its package is missing or fails."""
        loaded = self.module in sys.modules  # or begun in another thread: its import then waits for that one
        with nullcontext() if loaded else captured_output():
            try:
                return importlib.import_module(self.module)
            except ElirEdgeError:
                raise
            except Exception as error:  # a library raises anything
                raise self._why_not_loaded(error) from error

    def _why_not_loaded(self, error: Exception) -> ElirEdgeError:
        if is_memory_error(error):
            return ResourceError(f"not enough memory to load the package '{self.package}'", hint=MORE_MEMORY)
        if self.is_installed():
            return UnavailableError(
                f"the package '{self.package}' cannot be loaded: {reason_of(error)}",
                hint=f"install it again: pip install --force-reinstall '{self.install}'",
            )
        return UnavailableError(
            f"this needs the package '{self.package}', which is not installed", hint=f"pip install '{self.install}'"
        )


def _own(name: str, suffixes: tuple[str, ...], package: str, install: str, **more: Any) -> Backend:
    return Backend(name, suffixes, package, f"elir-edge[{install}]", f"elir_edge.runtime.{name}_backend", **more)


OWN = (
    _own("onnxruntime", (".onnx", ".web"), "onnxruntime", "run-onnxruntime", modes=True, enters=True),
    _own("openvino", (".xml", ".onnx"), "openvino", "run-openvino", modes=True, enters=True, lacks=("w8a16",)),
    _own("litert", (".tflite",), "ai_edge_litert", "run-litert", modes=True, enters=True),
    _own("tensorflow", (".tflite",), "tensorflow", "tensorflow", enters=True, cpu_only=True),
    _own("executorch", (".pte",), "executorch", "executorch"),
    _own(
        *("coreml", (".mlpackage",), "coremltools", "coreml"),
        platform="darwin",
        elsewhere="Core ML runs only on macOS",
        cpu_only=True,
    ),
    _own(TORCH, (), "torch", "torch"),
)


def backends() -> dict[str, Backend]:
    """All backends by name: those of this package, then those of entry points of installed packages.

    Raises ElirEdgeError where an entry point is not a Backend, or a name is used twice.
    """
    found = {backend.name: backend for backend in OWN}
    add_announced(found, ENTRY_POINTS, Backend)
    return found


def get_backend(name: str) -> Backend:
    """The backend called ``name``. Raises UsageError, with the nearest name, where there is none."""
    known = backends()
    if name not in known:
        raise UsageError(f"there is no backend '{name}'", hint=did_you_mean(name, known))
    return known[name]


def backends_for(path: Path) -> list[Backend]:
    """The backends for the suffix of ``path``, the usual one first. Raises UsageError where there is none."""
    known = backends().values()
    suffix = runtime_suffix(path)
    found = [backend for backend in known if suffix in backend.suffixes]
    if not found:
        endings = sorted({suffix for backend in known for suffix in backend.suffixes})
        raise UsageError(f"{path}: no backend opens '{suffix}' files", hint=f"known: {', '.join(endings)}")
    return found


def usual_backend(path: Path) -> Backend:
    """The first installed backend for the suffix of ``path``; if none is installed, the first one."""
    found = backends_for(path)
    return next((backend for backend in found if backend.is_installed()), found[0])


def choose_backends(
    paths: Mapping[Path, str], wanted: Sequence[str] = (), note: Callable[[str], None] = lambda text: None
) -> list[tuple[Path, str]]:
    """(path, backend) for each of ``paths`` and each backend that opens it, limited to ``wanted`` if that is not empty.

    ``paths`` has the precision of each artifact. Without ``wanted``, backends that cannot be loaded, or lack the
    precision, are left out, and ``note`` gets a line for each.

    Raises UsageError for a wanted backend that opens none of ``paths``, UnavailableError for a wanted backend that is
    not installed, or where no backend is left.
    """
    fitting = {path: _able(path, precision, wanted, note) for path, precision in paths.items()}
    for name in wanted:
        suffixes = get_backend(name).suffixes
        if not any(name in names for names in fitting.values()):
            raise UsageError(
                f"{next(iter(paths))}: the backend '{name}' opens {', '.join(suffixes) or 'lowered models'}",
                hint="choose another --backend, or leave it out",
            )
    candidates = list(dict.fromkeys(wanted or (name for names in fitting.values() for name in names)))
    loadable = [name for name in candidates if _loads(name, bool(wanted), note)]
    pairs = [(path, name) for path, names in fitting.items() for name in names if name in loadable]
    if not pairs:
        raise UnavailableError(
            f"{', '.join(map(str, paths))}: no runtime that opens it is installed",
            hint="pip install 'elir-edge[all]'",
        )
    return pairs


def _able(path: Path, precision: str, wanted: Sequence[str], note: Callable[[str], None]) -> list[str]:
    """Names of the backends that open ``path``, without those that lack its precision and are not ``wanted``."""
    found = backends_for(path)
    lacking = [backend.name for backend in found if precision in backend.lacks and backend.name not in wanted]
    for name in lacking:
        note(f"note: {name} left out: it cannot compute {precision}")
    return [backend.name for backend in found if backend.name not in lacking]


def _loads(name: str, required: bool, note: Callable[[str], None]) -> bool:
    try:
        get_backend(name).load()
    except UnavailableError as error:
        if required:
            raise
        note(f"note: {name} left out: {error}")
        return False
    return True
