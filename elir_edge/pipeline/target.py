"""Targets: the formats of an export. A target is a file under ``exporters``, or an entry point of another package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from elir_edge.core.plugins import add_announced, add_named
from elir_edge.core.progress import Progress
from elir_edge.errors import ElirEdgeError, UsageError, did_you_mean
from elir_edge.quantize.levels import LEVELS, W8A16, grid_of

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer

ENTRY_POINTS = "elir_edge.targets"
INTEGER_PRECISIONS = ("int8", W8A16, "mixed")
FINER = "finer"
FLOAT_PARTS = "float_parts"  # of the manifest's format: an int8 graph computes some parts in float
INTEGERS_ONLY = "--allow-degraded: integers only; this int8 artifact has parts in float"


@dataclass(frozen=True)
class Conversion:
    """One conversion: files to write into ``folder``, their names beginning with ``stem``, at ``precision``.

    For integer precisions: ``calibration`` has the graph's inputs for each calibration sample, in the graph's layout,
    batch axis included; ``float_stages`` names the stages that stay fp32, ``restored`` among them if the decoder does;
    ``unrounded`` is the network with unrounded weights where a finer form is wanted, accuracy before speed; ``missed``
    are then the facts that the form before it stated, which missed its gate.
    """

    folder: Path
    stem: str
    precision: str
    progress: Progress
    calibration: tuple[Mapping[str, np.ndarray], ...] = ()
    float_stages: frozenset[str] = frozenset()
    unrounded: StaticRestorer | None = None
    missed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fine(self) -> bool:
        """Whether a finer form is wanted."""
        return self.unrounded is not None

    def float_names(
        self, by_stage: Mapping[str, Collection[str]], more: Collection[str] = frozenset()
    ) -> frozenset[str]:
        """What computes the float stages and the stages ``more``, out of the names ``by_stage`` has for each stage."""
        return frozenset().union(*(by_stage.get(stage, ()) for stage in self.float_stages.union(more)))

    def with_float_ends(self, graph: StaticRestorer) -> StaticRestorer:
        """For the finer form, ``graph`` with the ends of its autoencoder unrounded; for others ``graph``."""
        if self.unrounded is None:
            return graph
        from elir_edge.quantize.moves import with_float_ends

        return with_float_ends(graph, self.unrounded)

    def form_facts(self) -> dict[str, Any]:
        """For the manifest, what ``finer_form_left`` reads: whether an int8 graph has the finer form."""
        return {FINER: self.fine} if self.precision == "int8" else {}


class FinerForm(Protocol):
    """Whether a conversion that returned ``facts`` has a more accurate form, which the caller may try.

    With ``integers_only``: one that brings in no float ops, where the form of ``facts`` has none.
    """

    def __call__(self, facts: Mapping[str, Any], *, integers_only: bool) -> bool:
        """Whether there is one."""
        ...


def finer_form_left(facts: Mapping[str, Any], *, integers_only: bool) -> bool:
    """The ``FinerForm`` of ONNX and OpenVINO: whether ``facts`` are of the plain form of a graph that has a finer one.

    ``integers_only`` makes no difference: both of their forms have parts in float.
    """
    return facts.get(FINER) is False


def _no_finer(facts: Mapping[str, Any], *, integers_only: bool) -> bool:
    return False


@dataclass(frozen=True)
class Target:
    """A format.

    Args:
        name: of the target. description: one line for people.
        suffixes: of the files; a session opens the one with the first suffix.
        precisions: those that it offers.
        layouts: of the graph's images, by io: float, uint8. latent_layout: of the noise and the stages.
        norm: form of GroupNorm, see ``NormForm``.
        backends: runtimes of the format, the default first; empty where no backend exists.
        packages: those whose versions are in the manifest. extra: name of the pip extra with them.
        convert: ``convert(graph, conversion)`` writes the files, in which the stages can be found by name, and returns
            facts about the format for the manifest.
        embed: ``embed(path, text)`` writes the manifest into the file.
        try_it: a command that uses the artifact at ``{path}``.
        quantizers: packages that only integer precisions need.
        bytes_only: precisions whose graphs have uint8 input and output and no other inputs.
        has_finer: whether a conversion has a more accurate form left, see ``FinerForm``.
        join: ``join(folder, path, K)`` writes a split artifact, of K steps at most, into the one file ``path`` from the
            parts in ``folder``, and returns facts about the format; None: the folder is the artifact.
        kernel_levels: steps per side of int8 weights at int8 and mixed, see ``quantize.levels``.
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
    has_finer: FinerForm = _no_finer
    join: Callable[[Path, Path, int], dict[str, Any]] | None = None
    kernel_levels: int = LEVELS

    def ios(self, precision: str) -> tuple[str, ...]:
        """The values of ``io`` that the target offers at ``precision``, the default first."""
        return ("uint8",) if precision in self.bytes_only else tuple(self.layouts)

    def levels(self, precision: str) -> int:
        """Steps per side of int8 weights at ``precision``."""
        return grid_of(precision).kernel_levels if precision == W8A16 else self.kernel_levels


def targets() -> dict[str, Target]:
    """All targets by name: those under ``exporters``, then those of entry points of installed packages.

    Raises ElirEdgeError where ``exporters`` is another package, or a name is used twice.
    """
    package = _own_exporters()
    found: dict[str, Target] = {}
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        target = importlib.import_module(f"exporters.{module.name}").TARGET
        add_named(found, target, Target, f"exporters/{module.name}.py")
    add_announced(found, ENTRY_POINTS, Target)
    return found


def get_target(name: str) -> Target:
    """The target called ``name``. Raises UsageError, with the nearest name, where there is none."""
    known = targets()
    if name not in known:
        raise UsageError(f"there is no target '{name}'", hint=did_you_mean(name, known))
    return known[name]


def _own_exporters() -> Any:
    package = importlib.import_module("exporters")
    if getattr(package, "ELIR_EDGE", False) is not True:
        raise ElirEdgeError(
            f"the package 'exporters' that Python finds is not elir-edge's: {getattr(package, '__file__', None)}",
            hint="remove or rename that package, or run from another folder",
        )
    return package
