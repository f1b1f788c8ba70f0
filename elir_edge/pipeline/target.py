"""Targets: the formats a model can be exported to. One target is one file under ``exporters``, or an entry point."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elir_edge.core.progress import Progress
from elir_edge.errors import ElirEdgeError, UsageError, did_you_mean

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer

ENTRY_POINTS = "elir_edge.targets"
INTEGER_PRECISIONS = ("int8", "mixed")


@dataclass(frozen=True)
class Conversion:
    """One conversion: files to write into ``folder``, their names beginning with ``stem``, at ``precision``.

    For int8 and mixed: ``calibration`` has the graph's inputs for each calibration sample, in the graph's layout, batch
    axis included; ``float_stages`` names the stages that stay fp32, ``restored`` among them if the decoder does;
    ``fine`` prefers accuracy over speed (16-bit sums).
    """

    folder: Path
    stem: str
    precision: str
    progress: Progress
    calibration: tuple[Mapping[str, np.ndarray], ...] = ()
    float_stages: frozenset[str] = frozenset()
    fine: bool = False

    def float_names(self, by_stage: Mapping[str, Collection[str]]) -> frozenset[str]:
        """What computes the float stages, out of the names that ``by_stage`` has for each stage."""
        return frozenset().union(*(by_stage.get(stage, ()) for stage in self.float_stages))


def _nothing_finer(facts: Mapping[str, Any]) -> bool:
    return False


@dataclass(frozen=True)
class Target:
    """A format.

    Args:
        name: of the target. description: one line for people.
        suffixes: of the files, the one to open first.
        precisions: those it offers.
        layouts: of the graph's images, for io float and uint8. latent_layout: of the noise and of the stages.
        norm: the form of GroupNorm.
        backends: what runs it, the default first; none where nothing here does.
        packages: whose versions belong into the manifest. extra: what to install for them.
        convert: ``convert(graph, conversion)`` writes the files, with the graph's stages findable by their names, and
            returns facts about the format (versions of its own, say) for the manifest.
        embed: ``embed(path, text)`` puts the manifest into the file.
        try_it: the command that shows an artifact at work.
        quantizers: the packages that only integer precisions need.
        bytes_only: the precisions whose graphs take and give bytes and nothing else.
        has_finer: says of what ``convert`` returned whether a finer form is left for what misses its gate.
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    precisions: tuple[str, ...]
    layouts: dict[str, str]
    latent_layout: str
    norm: str
    backends: tuple[str, ...]
    packages: tuple[str, ...]
    extra: str
    convert: Callable[[StaticRestorer, Conversion], dict[str, Any]]
    embed: Callable[[Path, str], None]
    try_it: str = "elir-edge restore PICTURE -o restored.png --artifact {path}"
    quantizers: tuple[str, ...] = ()
    bytes_only: tuple[str, ...] = ()
    has_finer: Callable[[Mapping[str, Any]], bool] = _nothing_finer

    def ios(self, precision: str) -> tuple[str, ...]:
        """The kinds of pictures a graph of that precision can take and give, the usual one first."""
        return ("uint8",) if precision in self.bytes_only else tuple(self.layouts)


def targets() -> dict[str, Target]:
    """All targets by name: those under ``exporters``, then those that installed packages announce.

    Raises ElirEdgeError where ``exporters`` is somebody else's package, or a name is taken twice.
    """
    package = _own_exporters()
    found: dict[str, Target] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        _add(found, importlib.import_module(f"exporters.{module.name}").TARGET, f"exporters/{module.name}.py")
    for entry in entry_points(group=ENTRY_POINTS):
        _add(found, entry.load(), f"entry point {entry.value}")
    return found


def get_target(name: str) -> Target:
    """The target called ``name``. Raises UsageError, naming the nearest, where there is none."""
    known = targets()
    if name not in known:
        raise UsageError(f"there is no target '{name}'", hint=did_you_mean(name, known))
    return known[name]


def _add(found: dict[str, Target], target: object, where: str) -> None:
    if not isinstance(target, Target):
        raise ElirEdgeError(f"{where}: TARGET is {type(target).__name__}, not a Target")
    if target.name in found:
        raise ElirEdgeError(f"{where}: the name '{target.name}' is taken by another target")
    found[target.name] = target


def _own_exporters() -> Any:
    package = importlib.import_module("exporters")
    if getattr(package, "ELIR_EDGE", False) is not True:
        raise ElirEdgeError(
            f"the package 'exporters' that Python finds is not elir-edge's: {getattr(package, '__file__', None)}",
            hint="remove or rename that package, or run from another folder",
        )
    return package
