"""Compile artifacts with the compilers of NPUs: run the compiler, check the result against the device, publish it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import RUN_ANYWHERE, Artifact, sidecar
from elir_edge.artifacts.golden import golden_path, has_golden
from elir_edge.artifacts.signing import signature_path
from elir_edge.core.files import sha256_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.core.publish import DEFAULT_FOLDER, copy_in, publish, refuse_existing, scratch_folder, staging, write_in
from elir_edge.errors import UsageError
from elir_edge.npu.compiler import Compilation, Compiler, Job, compiler_for, get_compiler
from elir_edge.npu.device import KnownDevice
from elir_edge.npu.fit import fit_artifact
from elir_edge.pipeline.pareto import pareto_path


def run_compiler(
    artifact: Artifact, device: KnownDevice, folder: Path, stem: str, simulate: bool, progress: Progress
) -> Compilation:
    """Compile into ``folder`` and check the result against the device's memory; publishes nothing.

    Raises what ``compiler_for`` does, and UnavailableError if the compiler is not installed.
    """
    compiler = compiler_for(artifact, device)
    result = compiler.compile(Job(artifact, device, folder, stem, simulate, progress))
    advice = compiler.advice_on_ops(artifact, device)
    problems = [*result.problems, *_cpu_problems(result, advice), *_memory_problems(result, artifact, device)]
    return dataclasses.replace(result, problems=tuple(problems))


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
    copies = [copy_in(file, staged) for file in result.files]
    golden, extra = _copy_golden(artifact, staged, path) if compiler.name in RUN_ANYWHERE else (None, [])
    manifest = dataclasses.replace(artifact.manifest, files=files, golden=golden, compiled=compiled)
    extra.append(write_in(staged, sidecar(path).name, manifest.to_json().encode()))
    names = {file.name for file in extra}
    publish(path, [*copies, *extra], [old for old in _beside(path) if old.name not in names])
    written = tuple(path.parent / file.name for file in copies)
    return dataclasses.replace(result, files=written, artifact=Artifact(path, manifest))


def _copy_golden(artifact: Artifact, staged: Path, path: Path) -> tuple[dict[str, Any] | None, list[Path]]:
    """Copy the golden file, if there is one, under the name for ``path``; returns its facts for the manifest."""
    if artifact.manifest.golden is None or not has_golden(artifact):
        return None, []
    source = artifact.path.with_name(Path(artifact.manifest.golden["file"]).name)
    name = golden_path(path).name
    return artifact.manifest.golden | {"file": name}, [write_in(staged, name, source.read_bytes())]


def _hash_alone(path: Path) -> dict[str, str]:
    return {path.name: sha256_of(path)}


def _cpu_problems(result: Compilation, advice: str) -> list[str]:
    if not result.cpu_ops:
        return []
    named = ", ".join(f"{count} {name}" for name, count in sorted(Counter(result.cpu_ops).items()))
    return [f"{len(result.cpu_ops)} of {result.ops} ops are left to the CPU: {named} ({advice})"]


def _memory_problems(result: Compilation, artifact: Artifact, device: KnownDevice) -> list[str]:
    """What is used beyond the device's memory. One that states neither ``arena`` nor ``weights`` has no limit.

    Where it states one of the two, the other may lie in a memory of which the device says nothing.
    """
    has = device.memory
    if not (has.arena or has.weights):
        return []
    both = bool(has.arena and has.weights)
    found = {
        name: f"{used:.0f} KiB of {name} are used, the device has {has.kib(name)}"
        for name, used in result.memory_kib.items()
        if used > has.kib(name) and (both or has.kib(name))
    }
    if not found:
        return []
    proposes = fit_artifact(artifact, device).verdict != "yes"
    advice = "elir-edge fit proposes changes" if proposes else "take a smaller --size or a smaller model"
    disagree = "the compiler's memory mode and the memories that the device states disagree"
    named = (has.arena, has.weights)
    return [f"{problem}: {advice if name in named else disagree}" for name, problem in found.items()]


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
    return [*_beside(path), *(path.with_name(path.stem + suffix) for suffix in compiler.suffixes)]


def _beside(path: Path) -> list[Path]:
    return [sidecar(path), golden_path(path), pareto_path(path), signature_path(path)]
