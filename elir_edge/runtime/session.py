"""Opening artifacts: the choice of backend and mode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elir_edge.artifacts.artifact import WHOLE_AGAIN, is_there
from elir_edge.artifacts.split import SUFFIX, runtime_suffix
from elir_edge.core.plain import is_integer
from elir_edge.errors import DataError, MissingInputError, UnavailableError, UsageError
from elir_edge.formats.tflite.file import is_split_file
from elir_edge.runtime.backend import TORCH, Backend, backends, get_backend, usual_backend
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
    steps: int | None = None,
) -> Session:
    """A session for an artifact, or for a lowered model (``elir_edge.lower``) in PyTorch.

    Args:
        model: path of the artifact, or the lowered model. backend: None: the first installed one for the suffix.
        threads: on the CPU. None: the runtime's default; LiteRT: all cores.
        stages: names of stages that become outputs too.
        mode: device, hint and arithmetic; the default is the CPU in fp32.
        entry: the stage to start at. Its value, float32, is an input in place of the image; earlier stages are not
            computed and cannot be among ``stages``.
        steps: number of Euler steps of a split artifact; None: as many as it has times for.

    Raises MissingInputError, UsageError (``threads`` below 1, or the backend does not open such files),
    UnavailableError (the backend is not installed, has no such mode or cannot start at a stage), DataError (the file is
    damaged, incomplete or has no such stage).

    While a runtime is loaded, what other threads print comes out when that is done; what they write to stdout
    and stderr in other ways, such as by log handlers that they have already, is lost.
    """
    threads, steps = _threads_of(threads), require_integer("steps", steps)
    if not isinstance(model, str | Path):
        _refuse_options(backend, mode, entry, steps)
        return get_backend(TORCH).load().open_session(model, threads, stages)
    chosen, path = _backend_for(Path(model), backend), _existing(Path(model))
    options = _options(chosen, mode, entry)
    try:
        return _open(path, chosen, threads, stages, options, steps)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DataError(f"{path}: incomplete: {error.filename}: {error.strerror}", hint=WHOLE_AGAIN) from error


def _existing(path: Path) -> Path:
    """``path``. Raises UsageError for a name that runtimes, which take UTF-8, cannot be told, or MissingInputError."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{str(path)!a}: this name is not UTF-8", hint="give it another name") from error
    if not is_there(path):
        raise MissingInputError(f"{path}: no such file", hint="check the name; elir-edge export writes artifacts")
    return path


def _open(
    path: Path,
    chosen: Backend,
    threads: int | None,
    stages: tuple[str, ...],
    options: dict[str, Any],
    steps: int | None,
) -> Session:
    if path.suffix == SUFFIX or is_split_file(path):
        return _open_split(path, chosen, threads, stages, options, steps)
    if steps is not None:
        raise UsageError(f"{path}: its steps are unrolled", hint="export it with --split to choose their number here")
    return chosen.load().open_session(path, threads, stages, **options)


def _threads_of(threads: int | None) -> int | None:
    threads = require_integer("threads", threads)
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}", hint="give 1 or more, or None for the runtime's default")
    return threads


def require_integer(name: str, value: int | None) -> int | None:
    """``value``, which may be a number of NumPy, as an int. Raises UsageError for what is no whole number."""
    if value is not None and not is_integer(value):
        raise UsageError(f"{name} is {value!r}", hint="give a whole number")
    return None if value is None else int(value)


def _refuse_options(backend: str | None, mode: Mode, entry: str | None, steps: int | None) -> None:
    """Raise what a lowered model does not take."""
    if entry is not None:
        raise _cannot_enter(TORCH)
    if backend not in (None, TORCH):
        raise UsageError(f"a lowered model runs in {TORCH}, not in {backend}", hint="leave the backend out")
    if steps is not None:
        raise UsageError("the steps of a lowered model are unrolled", hint="lower a model of another number of steps")
    _options(get_backend(TORCH), mode, None)


def _open_split(
    path: Path,
    backend: Backend,
    threads: int | None,
    stages: tuple[str, ...],
    options: dict[str, Any],
    steps: int | None,
) -> Session:
    from elir_edge.runtime.split import open_file, open_folder

    if "entry" in options:
        raise UnavailableError("split artifacts cannot start at a stage", hint="export the model without --split")
    if options.get("mode", DEFAULT_MODE).hint != DEFAULT_MODE.hint:
        raise UnavailableError(
            "split artifacts run one picture at a time, for latency", hint="export the model without --split"
        )
    module = backend.load()
    if path.suffix != SUFFIX:
        return open_file(path, lambda names: module.open_parts(path, threads, names, **options), stages, steps)
    return open_folder(path, lambda part, names: module.open_session(part, threads, names, **options), stages, steps)


def _backend_for(path: Path, name: str | None) -> Backend:
    if name is None:
        return usual_backend(path)
    chosen = get_backend(name)
    if runtime_suffix(path) not in chosen.suffixes:
        raise UsageError(
            f"{path}: the backend '{name}' opens {', '.join(chosen.suffixes) or 'lowered models'}",
            hint="choose another backend, or leave it out",
        )
    return chosen


def _options(backend: Backend, mode: Mode, entry: str | None) -> dict[str, Any]:
    """Arguments that not every backend takes, without those that have their default."""
    options: dict[str, Any] = {}
    if mode != DEFAULT_MODE:
        if not backend.modes:
            raise UnavailableError(
                f"{backend.name} runs on the {CPU} only, without hint or arithmetic",
                hint="leave the mode out, or choose openvino",
            )
        options["mode"] = mode
    if entry is not None:
        if not backend.enters:
            raise _cannot_enter(backend.name)
        options["entry"] = entry
    return options


def _cannot_enter(name: str) -> UnavailableError:
    able = ", ".join(backend.name for backend in backends().values() if backend.enters)
    return UnavailableError(f"the backend '{name}' cannot start at a stage", hint=f"these can: {able}")
