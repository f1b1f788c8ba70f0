"""Export: a model is lowered, converted, compared with PyTorch and published as an artifact on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from elir_edge.artifacts.artifact import Artifact, Manifest, load_artifact, sidecar
from elir_edge.artifacts.facts import NOT_COMPARED
from elir_edge.artifacts.golden import golden_path, has_golden
from elir_edge.artifacts.signing import read_private_key, sign_artifact, signature_path
from elir_edge.core.cache import cache_folder
from elir_edge.core.commit import recover
from elir_edge.core.files import sha256_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.core.publish import (
    DEFAULT_FOLDER,
    check_place,
    copy_in,
    publish,
    refuse_existing,
    scratch_folder,
    staging,
    write_file,
    write_in,
)
from elir_edge.errors import ElirEdgeError, StorageError, UsageError
from elir_edge.families.restorer import Restorer
from elir_edge.lowering.lower import lower, measure
from elir_edge.lowering.split import lower_split
from elir_edge.lowering.static import StaticRestorer
from elir_edge.pipeline.convert import convert_and_embed, main_file
from elir_edge.pipeline.half_range import activation_facts
from elir_edge.pipeline.judge import judge_conversion, why_not_run
from elir_edge.pipeline.ladder import without_latencies
from elir_edge.pipeline.mixed import search_mixture
from elir_edge.pipeline.pareto import pareto_path
from elir_edge.pipeline.request import MIXED, ExportRequest, key_of, request_of, version_of
from elir_edge.pipeline.target import Conversion, Target
from elir_edge.quantize.held_out import HeldOut, sentence_of
from elir_edge.quantize.levels import grid_of
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
    split: bool = False,
    sign: str | Path | None = None,
) -> Artifact:
    """Write an artifact of ``restorer``, with its manifest inside and beside it.

    Args:
        restorer: from ``load_restorer``; not changed. target, precision: see ``elir-edge targets``.
        size: pixels, a side or (height, width); None: the spec's own. noise: ``baked:SEED``, ``input`` or ``zero``.
        io: ``float`` [0, 1] or ``uint8`` 0..255; None: the usual one of target and precision.
        out: a file, or a folder; None: ``build/``. force: replace existing files.
        quantization: options of an integer precision; None: the defaults. progress: gets the stages of the work.
        split: the graphs before, of and after one step apart, whose number is chosen when it runs: in a folder, or for
            tflite in one file.
        sign: a PEM file with a private key of ECDSA, with which the artifact is signed.

    Returns the artifact; ``fresh`` is False where an identical one existed. Raises UsageError and ConfigError for
    options that do not fit, OutputError where other files exist, GateError where the result misses its precision's gate
    (nothing is published), DataError for calibration pictures, UnavailableError, StorageError and ResourceError.
    """
    progress = progress or Silent()
    key = None if sign is None else read_private_key(Path(sign))
    request = request_of(restorer, target, precision, size, noise, io, quantization, split)
    return _export_to(_output_path(out, restorer, request), restorer, request, force, progress, key)


def _export_to(
    path: Path, restorer: Restorer, request: ExportRequest, force: bool, progress: Progress, key: Any
) -> Artifact:
    identity = request.identity(restorer)
    _check_names(path, request.target)
    recover(path)
    existing = _identical(path, key_of(identity))
    if existing is not None:
        progress.note(f"{path} is already exactly this: nothing to do")
        if key is not None:
            write_file(signature_path(path), sign_artifact(existing, key))
        return existing
    with staging(path) as staged, scratch_folder(staged) as scratch:
        refuse_existing(_files_of(path, request.target), force, "is there already, and is not this export")
        manifest = _build(restorer, request, identity, scratch, path.stem, progress)
        return _publish(manifest, request.target, scratch, staged, path, key)


def _build(
    restorer: Restorer, request: ExportRequest, identity: dict[str, Any], folder: Path, stem: str, progress: Progress
) -> Manifest:
    """Write the finished files into ``folder``; returns their manifest."""
    form, target = request.form, request.target
    with progress.stage("lowering"):
        size = (form.height, form.width)
        graph = lower(restorer, size, str(form.noise), form.io, form.layout, form.latent_layout, target.norm)
        cost = measure("lowered", graph)
    feeds = request.calibration.feeds(form, restorer.spec) if request.calibration is not None else ()
    activations = activation_facts(graph, restorer, request)
    prepared, tuning = _prepare(graph, restorer, request, identity, progress)
    if request.split:
        prepared = cast(Any, lower_split(restorer, form, target.norm))
    lowered = {
        "request": key_of(identity),
        "inputs": tuple(form.inputs(restorer.spec)),
        "outputs": tuple(form.outputs()),
        "stages": graph.stage_specs(),
        "graph": {"parameters": cost.parameters, "gflop": round(cost.gflop, 3), "ops": cost.ops},
    }
    facts = identity | tuning | lowered | activations
    conversion = Conversion(folder, stem, request.precision, progress, feeds)
    path = main_file(request, conversion)
    if request.precision == MIXED:
        manifest = search_mixture(prepared, graph, restorer, request, facts, conversion)
    else:
        manifest = convert_and_embed(prepared, request, facts, conversion)

        def convert_finer(missed: Mapping[str, Any]) -> Manifest:
            finer = dataclasses.replace(conversion, unrounded=graph, missed=missed)
            return convert_and_embed(prepared, request, facts, finer)

        manifest = judge_conversion(path, manifest, restorer, request, progress, convert_finer)
    target.embed(path, _reproducible(manifest).to_json())
    if why_not_run(target) is None:
        open_session(path, target.backends[0]).close()
    return manifest


def _reproducible(manifest: Manifest) -> Manifest:
    """``manifest`` without the figures that differ between two runs of the same export: what goes into the file."""
    mixed = (manifest.quantization or {}).get(MIXED)
    if manifest.quantization is None or mixed is None:
        return manifest
    return dataclasses.replace(manifest, quantization=manifest.quantization | {MIXED: without_latencies(mixed)})


def _prepare(
    graph: StaticRestorer, restorer: Restorer, request: ExportRequest, identity: dict[str, Any], progress: Progress
) -> tuple[StaticRestorer, dict[str, Any]]:
    """The graph to convert, and what calibration and tuning found, for the manifest.

    For integer precisions it is a copy with int8 weights, and the channels of ``graph`` are equalized in place, which
    keeps its function; for other precisions it is ``graph``.
    """
    if request.calibration is None or request.quantization is None:
        return graph, {}
    budget, held_out = request.quantization.tune, HeldOut(grid_of(request.precision).ranges)
    levels = request.target.levels(request.precision)
    if budget is None:
        rounded = prepare(graph, request.calibration.feeds(request.form, restorer.spec), progress, held_out, levels)
        return rounded, _with_held_out(identity, held_out, progress)
    wished = request.calibration.facts | dataclasses.asdict(budget)
    same = {**identity, "quantization": wished, "target": levels, "versions": version_of("elir-edge")}
    checkpoint = cache_folder("tuning") / f"{key_of(same)[:32]}.pt"
    rounded, report = prepare_and_tune(
        graph, restorer, request.calibration, budget, progress, checkpoint, held_out, levels
    )
    progress.note(f"tuned in {report.steps} steps: crops {report.before_db:.1f} -> {report.after_db:.1f} dB to float")
    found = _with_held_out(identity, held_out, progress)["quantization"]
    return rounded, {"quantization": found | {"tuned": dataclasses.asdict(report)}}


def _with_held_out(identity: dict[str, Any], held_out: HeldOut, progress: Progress) -> dict[str, Any]:
    facts = held_out.facts()
    progress.note(f"calibration: {sentence_of(facts)}")
    return {"quantization": identity["quantization"] | {"held_out": facts}}


def _publish(manifest: Manifest, target: Target, scratch: Path, staged: Path, path: Path, key: Any) -> Artifact:
    """Move the files in ``scratch`` to where ``path`` is, all at once, with manifest and signature beside them."""
    sources = [scratch / f"{path.stem}{suffix}" for suffix in target.suffixes]
    manifest = dataclasses.replace(manifest, files={source.name: sha256_of(source) for source in sources})
    files = [copy_in(source, staged) for source in sources]
    beside = [file for file in (golden_path(sources[0]), pareto_path(sources[0])) if file.exists()]
    extra = [copy_in(file, staged) for file in beside]
    for file in files:
        if sha256_of(file) != manifest.files[file.name]:
            raise StorageError(f"{file.name}: what was written is not what was validated", hint="check the disk")
    described = write_in(staged, sidecar(path).name, manifest.to_json().encode())
    artifact = Artifact(path, manifest)
    if key is not None:
        extra.append(write_in(staged, signature_path(path).name, sign_artifact(artifact, key, staged)))
    written = [*files, *extra, described]
    names = {file.name for file in written}
    publish(path, written, [old for old in (pareto_path(path), signature_path(path)) if old.name not in names])
    return artifact


def _output_path(out: str | Path | None, restorer: Restorer, request: ExportRequest) -> Path:
    form, suffix = request.form, request.target.suffixes[0]
    side = str(form.height) if form.height == form.width else f"{form.height}x{form.width}"
    byte = "-uint8" if form.io == "uint8" else ""
    noise = "" if str(form.noise) == "baked:0" else "-noise_" + str(form.noise).replace(":", "")
    split = ("-split" if request.target.join else f"-{request.target.name}") if request.split else ""
    name = f"{restorer.spec.name}-{side}-{request.precision}{byte}{noise}{split}{suffix}"
    path = DEFAULT_FOLDER / name if out is None else Path(out)
    if path.is_dir() and path.suffix != suffix:
        return path / name
    if path.suffix != suffix:
        raise UsageError(
            f"{path}: the target '{request.target.name}' writes '{suffix}' files", hint=f"end it in {suffix}"
        )
    return path


def _identical(path: Path, key: str) -> Artifact | None:
    """The artifact at ``path`` if it is complete and its request has the sha256 ``key``, else None."""
    try:
        artifact = load_artifact(path)
    except ElirEdgeError:
        return None
    complete = has_golden(artifact) or NOT_COMPARED in (artifact.manifest.parity or {})
    return artifact if artifact.manifest.request == key and complete else None


def _check_names(path: Path, target: Target) -> None:
    """Raise OutputError where a name is too long for what lies beside the artifact."""
    for file in _files_of(path, target):
        check_place(file)


def _files_of(path: Path, target: Target) -> list[Path]:
    return [
        sidecar(path),
        golden_path(path),
        pareto_path(path),
        signature_path(path),
        *(path.with_suffix(suffix) for suffix in target.suffixes),
    ]
