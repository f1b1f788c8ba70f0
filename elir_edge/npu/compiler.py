"""NPU compilers: what each takes and gives back, and which are known; one file each under ``compilers``."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import Artifact, require_whole
from elir_edge.core.plain import installed_version
from elir_edge.core.progress import Progress
from elir_edge.errors import UsageError, did_you_mean
from elir_edge.npu.device import KnownDevice
from elir_edge.pipeline.target import FLOAT_PARTS, INTEGERS_ONLY

KIB = 1024


@dataclass(frozen=True)
class Compilation:
    """Result of a compiler. ``files``: the output files, the one to load first; ``compiled``: False if there is none.

    ``ops`` is the number of ops in the artifact, ``cpu_ops`` the names of those that stay on the CPU; ``memory_kib``
    the use of each kind of memory; ``figures`` the compiler's estimates or its simulator's measurements; ``problems``
    the reasons why the result cannot be used; ``options`` those that the compiler got beside the device's or in their
    place.
    """

    files: tuple[Path, ...]
    ops: int
    cpu_ops: tuple[str, ...] = ()
    memory_kib: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    compiled: bool = True
    artifact: Artifact | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def npu_share(self) -> float:
        """Share of the artifact's ops that run on the NPU, 0..1."""
        return 1 - len(self.cpu_ops) / self.ops if self.compiled and self.ops else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "path": str(self.artifact.path) if self.artifact else None,
            "problems": list(self.problems),
            "compiled": self.compiled,
            "ops": self.ops,
            "cpu_ops": dict(Counter(self.cpu_ops)),
            "npu_share": self.npu_share,
            "memory_kib": self.memory_kib,
            "figures": self.figures,
        }


@dataclass(frozen=True)
class Job:
    """One compilation: ``artifact`` for ``device`` into ``folder``, files named after ``stem``.

    ``simulate``: run the golden picture on the compiler's simulator, if it has one.
    """

    artifact: Artifact
    device: KnownDevice
    folder: Path
    stem: str
    simulate: bool
    progress: Progress


@dataclass(frozen=True)
class Compiler:
    """An NPU's compiler. ``takes``: suffix of its input; ``suffixes``: of its output files, the one to load first.

    ``compile`` runs it; ``package`` is the package that it needs and ``extra`` the extra that installs it; ``advice``
    says which input it takes, ``target`` is the export's that makes one.
    """

    name: str
    description: str
    takes: str
    suffixes: tuple[str, ...]
    package: str
    extra: str
    advice: str
    target: str
    compile: Callable[[Job], Compilation]

    def advice_for(self, device: KnownDevice) -> str:
        """``advice``, with the command that makes an input for ``device``."""
        return f"{self.advice}: elir-edge export --target {self.target} --precision {device.shared.recommended}"

    def advice_on_ops(self, artifact: Artifact, device: KnownDevice) -> str:
        """What to do where ops of ``artifact`` are left to the CPU of ``device``."""
        if artifact.manifest.precision != device.shared.recommended:
            return self.advice_for(device)
        if artifact.manifest.format.get(FLOAT_PARTS):
            return f"{self.advice}: elir-edge export {INTEGERS_ONLY}"
        return f"its precision is the recommended one: {device.name} lacks these ops"

    def release(self) -> str:
        """Installed version of its package."""
        return installed_version(self.package) or "not installed"


def compilers() -> dict[str, Compiler]:
    """All compilers by name: one file each under ``elir_edge/npu/compilers``."""
    import elir_edge.npu.compilers as package

    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = [importlib.import_module(f"{package.__name__}.{name}").COMPILER for name in modules]
    return {compiler.name: compiler for compiler in found}


def get_compiler(name: str) -> Compiler:
    """The compiler called ``name``. Raises UsageError, with the nearest name, if there is none."""
    known = compilers()
    if name not in known:
        raise UsageError(f"there is no compiler '{name}'", hint=did_you_mean(name, known))
    return known[name]


def compiler_for(artifact: Artifact, device: KnownDevice) -> Compiler:
    """The compiler of ``device``, which takes ``artifact``.

    Raises UsageError for an artifact of another format, one that is split or compiled already, or an unknown compiler.
    """
    require_whole(artifact)
    compiler = get_compiler(device.shared.compiler)
    if artifact.path.suffix != compiler.takes:
        raise UsageError(
            f"{artifact.path}: {compiler.description} takes '{compiler.takes}' files", hint=compiler.advice_for(device)
        )
    if artifact.manifest.compiled is not None:
        raise UsageError(
            f"{artifact.path}: is compiled already, for {artifact.manifest.compiled['device']}",
            hint=f"give the artifact from which it was made, {artifact.manifest.compiled['made_from']['name']}",
        )
    return compiler
