"""Compile artifacts with the compilers of NPUs: run the compiler, check the result against the device, publish it."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import Artifact, require_whole, sidecar
from elir_edge.core.files import sha256_of
from elir_edge.core.plain import installed_version
from elir_edge.core.progress import Progress, Silent
from elir_edge.core.publish import DEFAULT_FOLDER, copy_in, publish, refuse_existing, scratch_folder, staging, write_in
from elir_edge.errors import UsageError, did_you_mean
from elir_edge.npu.device import KnownDevice

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


def run_compiler(
    artifact: Artifact, device: KnownDevice, folder: Path, stem: str, simulate: bool, progress: Progress
) -> Compilation:
    """Compile into ``folder`` and check the result against the device's memory; publishes nothing.

    Raises what ``compiler_for`` does, and UnavailableError if the compiler is not installed.
    """
    compiler = compiler_for(artifact, device)
    result = compiler.compile(Job(artifact, device, folder, stem, simulate, progress))
    advice = compiler.advice_for(device)
    problems = [*result.problems, *_cpu_problems(result, advice), *_memory_problems(result, device)]
    return dataclasses.replace(result, problems=tuple(problems))


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


def compile_artifact(
    artifact: Artifact,
    device: KnownDevice,
    out: str | Path | None = None,
    force: bool = False,
    simulate: bool = True,
    progress: Progress | None = None,
) -> Compilation:
    """Compile an artifact for a device, and publish the result with its manifest unless it has problems.

    Args:
        artifact: from ``load_artifact``. device: from ``get_device``.
        out: the file to write, or a folder; None for ``build/``. force: replace what is there.
        simulate: run the golden picture on the compiler's simulator, if it has one.
        progress: gets the stages of the work.

    Returns:
        The compilation. If it has ``problems``, its ``artifact`` is None and nothing was written.

    Raises:
        UsageError: what ``compiler_for`` refuses. UnavailableError: the compiler is not installed.
        OutputError: the output exists already. StorageError: the disk is full.
    """
    progress = progress or Silent()
    compiler = compiler_for(artifact, device)
    path = _output_path(out, artifact, device, compiler)
    with staging(path) as staged, scratch_folder(staged) as scratch:
        refuse_existing(_files_of(path, compiler), force)
        result = run_compiler(artifact, device, scratch, path.stem, simulate, progress)
        if result.problems:
            return dataclasses.replace(result, files=())
        return _publish(result, artifact, device, staged, path)


def _publish(result: Compilation, artifact: Artifact, device: KnownDevice, staged: Path, path: Path) -> Compilation:
    compiler = get_compiler(device.shared.compiler)
    compiled = {
        "made_from": {"name": artifact.path.name, "files": artifact.manifest.files or _hash_alone(artifact.path)},
        "device": device.name,
        "memory": dataclasses.asdict(device.memory),
        "compiler": compiler.name,
        "compiler_version": compiler.release(),
        "options": device.options | result.options,
        "ops": result.ops,
        "cpu_ops": len(result.cpu_ops),
        "memory_kib": result.memory_kib,
        "figures_are": device.shared.figures,
        "figures": result.figures,
    }
    files = {file.name: sha256_of(file) for file in result.files}
    manifest = dataclasses.replace(artifact.manifest, files=files, golden=None, compiled=compiled)
    copies = [copy_in(file, staged) for file in result.files]
    beside = write_in(staged, sidecar(path).name, manifest.to_json().encode())
    publish(path, [*copies, beside])
    written = tuple(path.parent / file.name for file in copies)
    return dataclasses.replace(result, files=written, artifact=Artifact(path, manifest))


def _hash_alone(path: Path) -> dict[str, str]:
    return {path.name: sha256_of(path)}


def _cpu_problems(result: Compilation, advice: str) -> list[str]:
    if not result.cpu_ops:
        return []
    named = ", ".join(f"{count} {name}" for name, count in sorted(Counter(result.cpu_ops).items()))
    return [f"{len(result.cpu_ops)} of {result.ops} ops are left to the CPU: {named} ({advice})"]


def _memory_problems(result: Compilation, device: KnownDevice) -> list[str]:
    has = device.memory
    return [
        f"{used:.0f} KiB of {name} are used, the device has {has.kib(name)}: see elir-edge fit"
        for name, used in result.memory_kib.items()
        if name in (has.arena, has.weights) and used > has.kib(name)
    ]


def _output_path(out: str | Path | None, artifact: Artifact, device: KnownDevice, compiler: Compiler) -> Path:
    suffix = compiler.suffixes[0]
    name = f"{artifact.path.stem}-{device.name}{suffix}"
    path = DEFAULT_FOLDER / name if out is None else Path(out)
    if path.is_dir():
        return path / name
    if path.suffix != suffix:
        raise UsageError(f"{path}: the compiler '{compiler.name}' writes '{suffix}' files", hint=f"end it in {suffix}")
    if path.resolve() == artifact.path.resolve():
        raise UsageError(f"{path}: is the artifact itself", hint="choose another name with -o")
    return path


def _files_of(path: Path, compiler: Compiler) -> list[Path]:
    return [sidecar(path), *(path.with_name(path.stem + suffix) for suffix in compiler.suffixes)]
