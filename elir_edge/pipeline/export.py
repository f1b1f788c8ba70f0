"""From a model to an artifact on disk: lowered, converted, compared with PyTorch, described, published."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import NOT_COMPARED, Artifact, Manifest, load_artifact, sidecar
from elir_edge.artifacts.golden import golden_path, has_golden
from elir_edge.core.cache import cache_folder
from elir_edge.core.commit import recover
from elir_edge.core.files import sha256_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.core.publish import DEFAULT_FOLDER, copy_in, publish, refuse_existing, scratch_folder, staging, write_in
from elir_edge.errors import ElirEdgeError, StorageError, UsageError
from elir_edge.families.restorer import Restorer
from elir_edge.lowering.lower import lower, measure
from elir_edge.lowering.static import StaticRestorer
from elir_edge.pipeline.convert import written
from elir_edge.pipeline.judge import measured, why_not_run
from elir_edge.pipeline.ladder import pareto_path, timeless
from elir_edge.pipeline.mixed import mix
from elir_edge.pipeline.request import MIXED, ExportRequest, key_of, request_of, version_of
from elir_edge.pipeline.target import Conversion, Target
from elir_edge.quantize.plan import Quantization
from elir_edge.quantize.preparation import prepare, prepare_and_tune
from elir_edge.runtime.session import open_session


def export(
    restorer: Restorer,
    target: str = "onnx",
    precision: str = "fp32",
    size: int | str | tuple[int, int] | None = None,
    noise: str = "baked:0",
    io: str | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
    quantization: Quantization | None = None,
) -> Artifact:
    """Write an artifact that restores as ``restorer`` does, and the manifest beside and inside it.

    Args:
        restorer: from ``load_restorer``; not changed.
        target: a format's name (``elir-edge targets``). precision: one that the target offers.
        size: pixels, a side or (height, width); None for the spec's own.
        noise: ``baked:SEED``, ``input`` or ``zero``. io: ``float`` [0, 1] or ``uint8`` 0..255; None for what the
            target and precision are best at.
        out: the file to write, or a folder; None for ``build/``. force: replace what is there.
        progress: told of each long stage.
        quantization: how an integer precision is reached; None for the defaults.

    Returns:
        The artifact; ``fresh`` is False where an identical one was there already.

    Raises:
        UsageError, ConfigError: a request that makes no sense. OutputError: something else is there already, or
        nothing can be written there. GateError: the result does not keep to the gate of its precision (fp32: within
        1e-4 of PyTorch; mixed: within the limits too); nothing is published. DataError: calibration
        pictures that cannot serve. UnavailableError: a library that is not installed. StorageError, ResourceError: disk
        or memory ran out.
    """
    progress = progress or Silent()
    request = request_of(restorer, target, precision, size, noise, io, quantization)
    path = _output_path(out, restorer, request)
    identity = request.identity(restorer)
    recover(path)
    existing = _identical(path, key_of(identity))
    if existing is not None:
        progress.note(f"{path} is already exactly this: nothing to do")
        return existing
    with staging(path) as staged, scratch_folder(staged) as scratch:
        refuse_existing(_files_of(path, request.target), force, "is there already, and is not this export")
        manifest = _build(restorer, request, identity, scratch, path.stem, progress)
        return _publish(manifest, request.target, scratch, staged, path)


def _build(
    restorer: Restorer, request: ExportRequest, identity: dict[str, Any], folder: Path, stem: str, progress: Progress
) -> Manifest:
    """Convert into ``folder``, measure, and embed the manifest; returns it."""
    form, target = request.form, request.target
    with progress.stage("lowering"):
        size = (form.height, form.width)
        graph = lower(restorer, size, str(form.noise), form.io, form.layout, form.latent_layout, target.norm)
        cost = measure("lowered", graph)
    feeds = request.calibration.feeds(form, restorer.spec) if request.calibration is not None else ()
    plain, prepared = _prepared(graph, restorer, request, identity, progress)
    described = {
        "request": key_of(identity),
        "inputs": tuple(form.inputs(restorer.spec)),
        "outputs": tuple(form.outputs()),
        "stages": graph.stage_specs(),
        "graph": {"parameters": cost.parameters, "gflop": round(cost.gflop, 3), "ops": cost.ops},
    }
    facts = identity | prepared | described
    conversion = Conversion(folder, stem, request.precision, progress, feeds)
    path = folder / f"{stem}{target.suffixes[0]}"
    if request.precision == MIXED:
        manifest = mix(graph, plain, restorer, request, facts, conversion)
    else:
        manifest = written(graph, request, facts, conversion)
        finer = partial(written, graph, request, facts, dataclasses.replace(conversion, fine=True))
        manifest = measured(path, manifest, restorer, request, progress, finer)
    target.embed(path, _embedded(manifest).to_json())
    if why_not_run(target) is None:
        open_session(path, target.backends[0]).close()
    return manifest


def _embedded(manifest: Manifest) -> Manifest:
    """What goes into the file itself: nothing that differs between two runs of the same export."""
    mixed = (manifest.quantization or {}).get(MIXED)
    if manifest.quantization is None or mixed is None:
        return manifest
    return dataclasses.replace(manifest, quantization=manifest.quantization | {MIXED: timeless(mixed)})


def _prepared(
    graph: StaticRestorer, restorer: Restorer, request: ExportRequest, identity: dict[str, Any], progress: Progress
) -> tuple[StaticRestorer, dict[str, Any]]:
    """Make the graph's weights ready for int8; gives what it was right before they were rounded, and what the manifest
    says of it.
    """
    if request.calibration is None or request.quantization is None:
        return graph, {}
    budget = request.quantization.tune
    if budget is None:
        return prepare(graph, request.calibration.feeds(request.form, restorer.spec), progress), {}
    wished = request.calibration.facts | dataclasses.asdict(budget)
    same = {**identity, "quantization": wished, "target": None, "versions": version_of("elir-edge")}
    checkpoint = cache_folder("tuning") / f"{key_of(same)[:32]}.pt"
    plain, report = prepare_and_tune(graph, restorer, request.calibration, budget, progress, checkpoint)
    progress.note(f"tuned in {report.steps} steps: crops {report.before_db:.1f} -> {report.after_db:.1f} dB to float")
    return plain, {"quantization": identity["quantization"] | {"tuned": dataclasses.asdict(report)}}


def _publish(manifest: Manifest, target: Target, scratch: Path, staged: Path, path: Path) -> Artifact:
    sources = [scratch / f"{path.stem}{suffix}" for suffix in target.suffixes]
    manifest = dataclasses.replace(manifest, files={source.name: sha256_of(source) for source in sources})
    files = [copy_in(source, staged) for source in sources]
    beside = [file for file in (golden_path(sources[0]), pareto_path(sources[0])) if file.exists()]
    extra = [copy_in(file, staged) for file in beside]
    for file in files:
        if sha256_of(file) != manifest.files[file.name]:
            raise StorageError(f"{file.name}: what was written is not what was validated", hint="check the disk")
    described = write_in(staged, sidecar(path).name, manifest.to_json().encode())
    gone = [] if pareto_path(sources[0]) in beside else [pareto_path(path)]
    publish(path, [*files, *extra, described], gone)
    return Artifact(path, manifest)


def _output_path(out: str | Path | None, restorer: Restorer, request: ExportRequest) -> Path:
    form, suffix = request.form, request.target.suffixes[0]
    side = str(form.height) if form.height == form.width else f"{form.height}x{form.width}"
    byte = "-uint8" if form.io == "uint8" else ""
    noise = "" if str(form.noise) == "baked:0" else "-noise_" + str(form.noise).replace(":", "")
    name = f"{restorer.spec.name}-{side}-{request.precision}{byte}{noise}{suffix}"
    path = DEFAULT_FOLDER / name if out is None else Path(out)
    if path.is_dir() and path.suffix != suffix:
        return path / name
    if path.suffix != suffix:
        raise UsageError(
            f"{path}: the target '{request.target.name}' writes '{suffix}' files", hint=f"end it in {suffix}"
        )
    return path


def _identical(path: Path, key: str) -> Artifact | None:
    try:
        artifact = load_artifact(path)
    except ElirEdgeError:
        return None
    complete = has_golden(artifact) or NOT_COMPARED in (artifact.manifest.parity or {})
    return artifact if artifact.manifest.request == key and complete else None


def _files_of(path: Path, target: Target) -> list[Path]:
    return [
        sidecar(path),
        golden_path(path),
        pareto_path(path),
        *(path.with_suffix(suffix) for suffix in target.suffixes),
    ]
