"""What runs an artifact: a session, and one file per runtime. Only the torch backend imports torch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elir_edge.artifacts.artifact import is_there
from elir_edge.core.native import captured_output
from elir_edge.core.plain import installed_version
from elir_edge.errors import MissingInputError, UnavailableError, UsageError, did_you_mean, missing_package
from elir_edge.runtime.base import Session
from elir_edge.runtime.mode import CPU, DEFAULT_MODE, Mode

if TYPE_CHECKING:
    from torch import nn

TORCH = "torch"


@dataclass(frozen=True)
class Backend:
    """A runtime: what it is called, which files it opens, the module it needs, and the extra that brings that.

    ``platform`` is the one system that it exists on, as ``sys.platform`` names it, and ``elsewhere`` what to say on
    others; None for those that exist on all. ``modes`` says whether its ``open_session`` takes a Mode too; without, it
    runs on the CPU in one way. ``enters`` says whether it takes an ``entry`` too.
    """

    name: str
    suffixes: tuple[str, ...]
    package: str
    extra: str
    platform: str | None = None
    elsewhere: str = ""
    modes: bool = False
    enters: bool = False

    def installed(self) -> bool:
        """Whether ``load`` would work, found out without importing anything."""
        try:
            return importlib.util.find_spec(self.package) is not None
        except ValueError:  # a module that was blocked on purpose
            return False

    def release(self) -> str:
        """The version of its package that is installed."""
        return installed_version(self.package.replace("_", "-")) or "of unknown version"

    def why_not_here(self) -> str | None:
        """Why no machine of this kind can run it, in words; None where it can."""
        return None if self.platform in (None, sys.platform) else self.elsewhere

    def load(self) -> Any:
        """This backend's module. Raises UnavailableError, with the pip command, where its library is missing."""
        name = f"elir_edge.runtime.{self.name}_backend"
        if name in sys.modules:
            return sys.modules[name]
        try:
            with captured_output():
                return importlib.import_module(name)
        except ImportError as error:
            if self.installed():
                raise UnavailableError(f"the package '{self.package}' cannot be loaded: {error}") from error
            raise missing_package(self.package, self.extra) from error


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("onnxruntime", (".onnx", ".web"), "onnxruntime", "run-onnxruntime", modes=True, enters=True),
        Backend("openvino", (".xml", ".onnx"), "openvino", "run-openvino", modes=True, enters=True),
        Backend("litert", (".tflite",), "ai_edge_litert", "run-litert", modes=True, enters=True),
        Backend("tensorflow", (".tflite",), "tensorflow", "tensorflow", enters=True),
        Backend("executorch", (".pte",), "executorch", "executorch"),
        Backend("coreml", (".mlpackage",), "coremltools", "coreml", "darwin", "Core ML runs only on macOS"),
        Backend(TORCH, (), "torch", "torch"),
    )
}


def get_backend(name: str) -> Backend:
    """The backend called ``name``. Raises UsageError, naming the nearest, where there is none."""
    if name not in BACKENDS:
        raise UsageError(f"there is no backend '{name}'", hint=did_you_mean(name, BACKENDS))
    return BACKENDS[name]


def backends_for(path: Path) -> list[Backend]:
    """The backends that open files of this kind, the usual one first. Raises UsageError where there is none."""
    found = [backend for backend in BACKENDS.values() if path.suffix in backend.suffixes]
    if not found:
        endings = sorted({suffix for backend in BACKENDS.values() for suffix in backend.suffixes})
        raise UsageError(f"{path}: no backend opens '{path.suffix}' files", hint=f"known: {', '.join(endings)}")
    return found


def usual_backend(path: Path) -> Backend:
    """The first backend for files of this kind that is installed, else the first of all."""
    found = backends_for(path)
    return next((backend for backend in found if backend.installed()), found[0])


def choose_backends(
    paths: Sequence[Path], wanted: Sequence[str] = (), note: Callable[[str], None] = lambda text: None
) -> list[tuple[Path, str]]:
    """Each of ``paths`` with each backend that is to run it: those ``wanted``, else every one that opens it.

    Of backends nobody asked for, those that cannot be loaded are left out, and ``note`` is told.

    Raises UsageError for a wanted backend that opens none of ``paths``; UnavailableError for a wanted one that is not
    installed, and where none is left.
    """
    fitting = {path: [backend.name for backend in backends_for(path)] for path in paths}
    for name in wanted:
        suffixes = get_backend(name).suffixes
        if not any(name in names for names in fitting.values()):
            raise UsageError(f"{paths[0]}: the backend '{name}' opens {', '.join(suffixes) or 'lowered models'}")
    candidates = list(dict.fromkeys(wanted or (name for names in fitting.values() for name in names)))
    loadable = [name for name in candidates if _loads(name, bool(wanted), note)]
    pairs = [(path, name) for path, names in fitting.items() for name in names if name in loadable]
    if not pairs:
        raise UnavailableError(
            f"{', '.join(map(str, paths))}: no runtime that opens it is installed",
            hint="pip install 'elir-edge[all]'",
        )
    return pairs


def _loads(name: str, required: bool, note: Callable[[str], None]) -> bool:
    try:
        BACKENDS[name].load()
    except UnavailableError as error:
        if required:
            raise
        note(f"note: {name} left out: {error}")
        return False
    return True


def open_session(
    model: str | Path | nn.Module,
    backend: str | None = None,
    threads: int | None = None,
    stages: tuple[str, ...] = (),
    mode: Mode = DEFAULT_MODE,
    entry: str | None = None,
) -> Session:
    """Load an artifact, or a lowered model (``elir_edge.lower``) with the torch backend.

    ``threads`` None leaves their number to the runtime; LiteRT then takes all cores. ``stages`` are names of
    stages to give as outputs too. ``mode`` says where and how it is to run; the default is the CPU, in fp32.
    ``entry`` is the stage to start at: its latent, float32, is an input in place of the image, and what lies before it
    is not run; ``stages`` are then later ones.

    Raises MissingInputError, UsageError (a backend that does not open this), UnavailableError (it is not installed,
    has no such mode here, or cannot start at a stage), DataError (the file is damaged, or has no such stage).
    """
    if not isinstance(model, str | Path):
        if entry is not None:
            raise _cannot_enter(TORCH)
        return get_backend(TORCH).load().open_session(model, threads, stages)
    path = Path(model)
    if backend is not None:
        chosen = get_backend(backend)
        if path.suffix not in chosen.suffixes:
            raise UsageError(f"{path}: the backend '{backend}' opens {', '.join(chosen.suffixes) or 'lowered models'}")
    else:
        chosen = usual_backend(path)
    if not is_there(path):
        raise MissingInputError(f"{path}: no such file")
    options: dict[str, Any] = {}
    if mode != DEFAULT_MODE:
        if not chosen.modes:
            raise UnavailableError(f"{chosen.name} runs on the {CPU} only, and in one way")
        options["mode"] = mode
    if entry is not None:
        if not chosen.enters:
            raise _cannot_enter(chosen.name)
        options["entry"] = entry
    return chosen.load().open_session(path, threads, stages, **options)


def _cannot_enter(name: str) -> UnavailableError:
    able = ", ".join(backend.name for backend in BACKENDS.values() if backend.enters)
    return UnavailableError(f"the backend '{name}' cannot start at a stage", hint=f"these can: {able}")
