"""Opening an artifact: the backend that fits it, in the mode that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elir_edge.artifacts.artifact import is_there
from elir_edge.errors import MissingInputError, UnavailableError, UsageError
from elir_edge.runtime.backend import TORCH, backends, get_backend, usual_backend
from elir_edge.runtime.base import Session
from elir_edge.runtime.mode import CPU, DEFAULT_MODE, Mode

if TYPE_CHECKING:
    from torch import nn


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
    able = ", ".join(backend.name for backend in backends().values() if backend.enters)
    return UnavailableError(f"the backend '{name}' cannot start at a stage", hint=f"these can: {able}")
