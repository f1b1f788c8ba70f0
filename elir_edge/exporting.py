"""From a model to an artifact on disk: lowered, converted, compared with PyTorch, described, published."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifact import NOT_COMPARED, Artifact, Manifest, load_artifact, sha256_of, sidecar
from elir_edge.cache import cache_folder
from elir_edge.errors import (
    ElirEdgeError,
    GateError,
    OutputError,
    ResourceError,
    StorageError,
    UnavailableError,
    UsageError,
    is_memory_error,
)
from elir_edge.golden import golden_path, has_golden, record_golden
from elir_edge.images import builtin_photograph
from elir_edge.lowering.pipeline import lower, measure
from elir_edge.lowering.staged import StagedRestorer
from elir_edge.lowering.static import StaticRestorer
from elir_edge.model.restorer import Restorer, WeightSource
from elir_edge.noise import NoiseContract
from elir_edge.progress import Progress, Silent
from elir_edge.publish import DEFAULT_FOLDER, copy_in, publish, staging, storage_error, write_in
from elir_edge.quantize.calibration import Calibration, gather_calibration
from elir_edge.quantize.ladder import (
    Rung,
    best_of,
    climb,
    draw,
    latency_of,
    pareto_path,
    report_of,
    table_lines,
    timeless,
)
from elir_edge.quantize.mixed import assembled, losses_by_group, stages_of_groups
from elir_edge.quantize.plan import DEFAULT_LIMITS, Limits, Quantization
from elir_edge.quantize.preparation import as_tensors, prepare, prepare_and_tune
from elir_edge.quantize.trials import DRAWS, check_disjoint, gather_trials
from elir_edge.runtime import get_backend, open_session
from elir_edge.signature import RESTORED, GraphForm, StageSpec, parse_size
from elir_edge.target import INTEGER_PRECISIONS, Conversion, Target, get_target
from elir_edge.validation import Validation, validate
from elir_edge.weights import tensors_sha256

PARITY_PICTURE = "astronaut"
MIXED = "mixed"
SHOWN_FAILURES = 3
SIMULATED = 8
MANIFEST_GROWTH = 4096  # bytes: the figures that are embedded once all rungs are measured
WAYS_OUT = "--tune MINUTES fits it closer, --allow-degraded writes it as it is"


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for, in full: two equal requests give the same artifact."""

    target: Target
    precision: str
    form: GraphForm
    quantization: Quantization | None = None
    calibration: Calibration | None = None

    def identity(self, restorer: Restorer) -> dict[str, Any]:
        """Everything that decides the result: the model, the request, and the versions of what carries it out.

        The spec's default weights are left out: they need not be those used, and may be a path.
        """
        source = restorer.source or WeightSource("in memory", "memory", "", True)
        digest = tensors_sha256(restorer.state_dict())
        return {
            "target": self.target.name,
            "precision": self.precision,
            "spec": restorer.spec.to_dict() | {"weights": None},
            "weights": dataclasses.asdict(source) | {"tensors_sha256": digest},
            "size": (self.form.height, self.form.width),
            "io": self.form.io,
            "layout": self.form.layout,
            "noise": _noise_contract(restorer, self.form.noise),
            "versions": _versions(self.target, self.quantization is not None),
        } | self._quantized()

    def _quantized(self) -> dict[str, Any]:
        if self.quantization is None or self.calibration is None:
            return {}
        return {"quantization": {"calibration": self.calibration.facts} | self.quantization.facts()}


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
    request = _request(restorer, target, precision, size, noise, io, quantization)
    path = _output_path(out, restorer, request)
    identity = request.identity(restorer)
    existing = _identical(path, _key(identity))
    if existing is not None:
        progress.note(f"{path} is already exactly this: nothing to do")
        return existing
    with staging(path) as staged, tempfile.TemporaryDirectory(prefix="elir-edge-") as scratch:
        _refuse_existing(path, request.target, force)
        manifest = _build(restorer, request, identity, Path(scratch), path.stem, progress)
        return _publish(manifest, request.target, Path(scratch), staged, path)


def _request(
    restorer: Restorer,
    target: str,
    precision: str,
    size: int | str | tuple[int, int] | None,
    noise: str,
    io: str | None,
    quantization: Quantization | None,
) -> ExportRequest:
    chosen = get_target(target)
    if precision not in chosen.precisions:
        raise UsageError(
            f"the target '{target}' has no precision '{precision}'", hint=f"it offers {', '.join(chosen.precisions)}"
        )
    ios = chosen.ios(precision)
    io = io or ios[0]
    if io not in ios:
        raise UsageError(f"io '{io}' is not one of {', '.join(ios)} for {target} at {precision}")
    height, width = parse_size(size, restorer.spec)
    form = GraphForm(height, width, NoiseContract.parse(noise), io, chosen.layouts[io], chosen.latent_layout)
    if precision not in INTEGER_PRECISIONS:
        if quantization is not None:
            raise UsageError(f"calibration and the like mean nothing at {precision}", hint="--precision int8")
        return ExportRequest(chosen, precision, form)
    quantization = _with_limits(quantization or Quantization(), restorer, precision)
    calibration = gather_calibration(quantization.calibration, restorer.spec, height, width)
    check_disjoint(calibration.sources)
    return ExportRequest(chosen, precision, form, quantization, calibration)


def _with_limits(quantization: Quantization, restorer: Restorer, precision: str) -> Quantization:
    if precision != MIXED:
        if quantization.limits is not None:
            raise UsageError(f"limits of drop, size and latency mean nothing at {precision}", hint="--precision mixed")
        return quantization
    if restorer.source is not None and not restorer.source.trained:
        raise UsageError(
            "stand-in weights restore nothing, so that mixed precision has nothing to lose",
            hint="give trained ones with --weights",
        )
    return dataclasses.replace(quantization, limits=quantization.limits or DEFAULT_LIMITS)


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
        "request": _key(identity),
        "inputs": tuple(form.inputs(restorer.spec)),
        "outputs": tuple(form.outputs()),
        "stages": _stages(graph),
        "graph": {"parameters": cost.parameters, "gflop": round(cost.gflop, 3), "ops": cost.ops},
    }
    facts = identity | prepared | described
    conversion = Conversion(folder, stem, request.precision, progress, feeds)
    path = folder / f"{stem}{target.suffixes[0]}"
    if request.precision == MIXED:
        manifest = _mixed(graph, plain, restorer, request, facts, conversion)
    else:
        manifest = _written(graph, request, facts, conversion)
        manifest = _measured(path, manifest, restorer, request, progress)
    target.embed(path, _embedded(manifest).to_json())
    if runs_here(target):
        open_session(path, target.backends[0]).close()
    return manifest


def _written(graph: StaticRestorer, request: ExportRequest, facts: dict[str, Any], conversion: Conversion) -> Manifest:
    """Convert, and embed what is known before anything is measured."""
    manifest = Manifest(**facts, format=_convert(graph, request, conversion))
    request.target.embed(_main_file(request, conversion), manifest.to_json())
    return manifest


def _main_file(request: ExportRequest, conversion: Conversion) -> Path:
    return conversion.folder / f"{conversion.stem}{request.target.suffixes[0]}"


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
    same = {**identity, "quantization": request.calibration.facts, "target": None, "versions": None}
    checkpoint = cache_folder("tuning") / f"{_key(same)[:32]}.pt"
    plain, report = prepare_and_tune(graph, restorer, request.calibration, budget, progress, checkpoint)
    progress.note(f"tuned in {report.steps} steps: crops {report.before_db:.1f} -> {report.after_db:.1f} dB to float")
    return plain, {"quantization": identity["quantization"] | {"tuned": dataclasses.asdict(report)}}


def _mixed(
    graph: StaticRestorer,
    plain: StaticRestorer,
    restorer: Restorer,
    request: ExportRequest,
    facts: dict[str, Any],
    conversion: Conversion,
) -> Manifest:
    """Climb from int8 until the limits are kept; the rung to publish ends up in the conversion's folder."""
    progress, backend = conversion.progress, get_backend(request.target.backends[0])
    if (reason := backend.why_not_here()) is not None:
        raise UnavailableError(f"mixed precision is measured on the artifact: {reason}", hint="--precision int8")
    assert request.quantization is not None
    limits = request.quantization.limits or DEFAULT_LIMITS
    trials = _pictures(restorer, request)[0]
    found: dict[tuple[str, ...], tuple[Path, Manifest, Validation]] = {}

    def measured(floats: tuple[str, ...]) -> Rung:
        progress.note(f"in float: {', '.join(floats) or 'nothing'}")
        folder = conversion.folder / f"rung_{len(floats)}"
        folder.mkdir()
        stages = stages_of_groups(graph, floats)
        rung = dataclasses.replace(conversion, folder=folder, float_stages=stages)
        manifest = _written(assembled(graph, plain, floats), request, facts, rung)
        path = _main_file(request, rung)
        validation = _validation(path, manifest, restorer, request, progress)
        found[floats] = folder, manifest, validation
        size = MANIFEST_GROWTH + sum(
            (folder / f"{rung.stem}{suffix}").stat().st_size for suffix in request.target.suffixes
        )
        return Rung.of(floats, validation, size, latency_of(path, backend.name, next(iter(trials.values()))))

    losses = _losses(graph, plain, request, trials, conversion)
    rungs = climb(losses, limits, measured)
    chosen = best_of(rungs, limits)
    report = report_of(losses, rungs, chosen, limits)
    folder, manifest, validation = found[chosen.floats]
    manifest = dataclasses.replace(manifest, quantization=(manifest.quantization or {}) | {MIXED: report})
    _hold(chosen, report, request.quantization, progress)
    for suffix in request.target.suffixes:
        (folder / f"{conversion.stem}{suffix}").replace(conversion.folder / f"{conversion.stem}{suffix}")
    path = _main_file(request, conversion)
    _draw(report, pareto_path(path), progress)
    return _judged(path, manifest, validation, request, progress, degraded=not chosen.keeps(limits))


def _losses(
    graph: StaticRestorer,
    plain: StaticRestorer,
    request: ExportRequest,
    trials: dict[str, np.ndarray],
    conversion: Conversion,
) -> dict[str, float]:
    """By simulation, on one draw of each photograph."""
    assert request.calibration is not None
    judges = dataclasses.replace(request.calibration, pictures=tuple(trials.values())[::DRAWS])
    samples = [
        [as_tensors(feed) for feed in feeds]
        for feeds in (conversion.calibration[:SIMULATED], judges.feeds(request.form, graph.spec))
    ]
    return losses_by_group(graph, plain, samples[0], samples[1], conversion.progress)


def _hold(chosen: Rung, report: dict[str, Any], quantization: Quantization, progress: Progress) -> None:
    """Raise GateError, with the table told before, where no rung keeps to the limits and none has to be published."""
    limits = quantization.limits or DEFAULT_LIMITS
    if chosen.keeps(limits):
        return
    for line in table_lines(report):
        progress.note(line)
    best = (
        f"the best, with {', '.join(chosen.floats) or 'nothing'} in float, loses {chosen.mean_drop_db:.3f} dB, has "
        f"{chosen.size_mb:.2f} MB and takes {chosen.latency_ms:.1f} ms" + ("" if chosen.passed else ", below the gate")
    )
    sentence = f"no mixture keeps to {_asked(limits)}: {best}"
    if not quantization.allow_degraded:
        raise GateError(sentence, hint=f"nothing was written; {WAYS_OUT}; --precision fp16 keeps it whole")
    progress.note(f"note: {sentence}")


def _asked(limits: Limits) -> str:
    named = ((limits.max_drop_db, "dB"), (limits.max_size_mb, "MB"), (limits.max_latency_ms, "ms"))
    return ", ".join(f"{value:g} {unit}" for value, unit in named if value is not None)


def _draw(report: dict[str, Any], path: Path, progress: Progress) -> None:
    try:
        draw(report, path)
    except UnavailableError as error:
        progress.note(f"note: the table is not drawn: {error} ({error.hint})")


def runs_here(target: Target) -> bool:
    """Whether a machine of this kind can run the format's first backend."""
    return get_backend(target.backends[0]).why_not_here() is None


def _measured(
    path: Path, manifest: Manifest, restorer: Restorer, request: ExportRequest, progress: Progress
) -> Manifest:
    """The manifest with what was measured, held to the gate, or with why no machine of this kind can measure it."""
    backend = get_backend(request.target.backends[0])
    reason = backend.why_not_here()
    if reason is not None:
        progress.note(f"note: not compared with PyTorch: {reason}")
        return dataclasses.replace(manifest, parity={NOT_COMPARED: reason})
    return _judged(path, manifest, _validation(path, manifest, restorer, request, progress), request, progress)


def _validation(
    path: Path, manifest: Manifest, restorer: Restorer, request: ExportRequest, progress: Progress
) -> Validation:
    pictures, originals = _pictures(restorer, request)
    return validate(path, manifest, restorer, pictures, request.target.backends[0], False, progress, originals)


def _judged(
    path: Path,
    manifest: Manifest,
    validation: Validation,
    request: ExportRequest,
    progress: Progress,
    degraded: bool = False,
) -> Manifest:
    """The manifest with the figures of a validation, where it lets the artifact through."""
    degraded = _gate(validation, request.quantization, progress) or degraded
    manifest = dataclasses.replace(manifest, parity=_parity(validation))
    manifest = dataclasses.replace(manifest, golden=record_golden(path, manifest, validation.backend))
    if manifest.quantization is not None:
        manifest = dataclasses.replace(manifest, quantization=manifest.quantization | {"degraded": degraded})
    return manifest


def _pictures(restorer: Restorer, request: ExportRequest) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """What the artifact is held against the model on, and their originals where the gate asks for them."""
    if request.calibration is None:
        return {PARITY_PICTURE: builtin_photograph(PARITY_PICTURE)}, None
    trials = gather_trials(request.calibration.facts["task"], request.form.height, request.form.width)
    return trials.degraded, trials.originals if restorer.source is None or restorer.source.trained else None


def _convert(graph: StaticRestorer, request: ExportRequest, conversion: Conversion) -> dict[str, Any]:
    try:
        return request.target.convert(graph, conversion)
    except ElirEdgeError:
        raise
    except Exception as error:  # converters raise anything
        if is_memory_error(error):
            raise ResourceError("not enough memory to convert the model", hint="export at a smaller --size") from error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise storage_error(conversion.folder, error) from error
        raise ElirEdgeError(f"the {request.target.name} converter failed: {type(error).__name__}: {error}") from error


def _gate(validation: Validation, quantization: Quantization | None, progress: Progress) -> bool:
    """Whether the artifact falls short and was allowed to. Raises GateError where it was not."""
    if validation.passed:
        return False
    began = f"; it began at {validation.drift_began}" if validation.drift_began else ""
    sentence = "; ".join(validation.failures[:SHOWN_FAILURES]) + began
    if quantization is not None and quantization.allow_degraded:
        progress.note(f"note: below the gate, and marked so in the manifest: {sentence}")
        return True
    hint = "nothing was written" + (f"; {WAYS_OUT}" if quantization is not None else "")
    raise GateError(f"the artifact does not keep the picture: {sentence}", hint=hint)


def _parity(validation: Validation) -> dict[str, Any]:
    worst = validation.pictures[validation.worst]
    truths = validation.truths.values()
    quality = {
        "reference_db": round(float(np.mean([truth.reference_db for truth in truths])), 2),
        "mean_drop_db": round(validation.mean_drop_db or 0.0, 3),
        "worst_drop_db": round(validation.worst_drop_db or 0.0, 3),
    } if truths else {}  # fmt: skip
    return {
        "against": "PyTorch fp32",
        "backend": validation.backend,
        "backend_version": _version_of(get_backend(validation.backend).package),
        "pictures": sorted(validation.pictures),
        "gate": dataclasses.asdict(validation.gate),
        "max_abs": _two_digits(worst.max_abs),
        "psnr_db": round(worst.psnr_db, 1),
        "mean_shift": [_two_digits(shift) for shift in worst.mean_shift],
    } | quality


def _publish(manifest: Manifest, target: Target, scratch: Path, staged: Path, path: Path) -> Artifact:
    sources = [scratch / f"{path.stem}{suffix}" for suffix in target.suffixes]
    manifest = dataclasses.replace(manifest, files={source.name: sha256_of(source) for source in sources})
    files = [copy_in(source, staged) for source in sources]
    beside = [golden_path(sources[0]), pareto_path(sources[0])]
    extra = [copy_in(file, staged) for file in beside if file.exists()]
    for file in files:
        if sha256_of(file) != manifest.files[file.name]:
            raise StorageError(f"{file.name}: what was written is not what was validated", hint="check the disk")
    described = write_in(staged, sidecar(path).name, manifest.to_json().encode())
    publish([*files, *extra, described], path.parent)
    return Artifact(path, manifest)


def _stages(graph: StaticRestorer) -> tuple[StageSpec, ...]:
    form = graph.form
    return tuple(
        StageSpec(name, form.latent_shape(graph.spec), form.latent_layout, graph.latent_gain)
        for name in StagedRestorer(graph).output_names()
        if name != RESTORED
    )


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


def _refuse_existing(path: Path, target: Target, force: bool) -> None:
    files = [sidecar(path), golden_path(path), *(path.with_suffix(suffix) for suffix in target.suffixes)]
    there = [file for file in files if file.is_symlink() or file.exists()]
    if there and not force:
        raise OutputError(f"{there[0]}: is there already, and is not this export", hint="--force replaces it")


def _noise_contract(restorer: Restorer, noise: NoiseContract) -> dict[str, Any]:
    if restorer.fmir is None:
        return {"mode": "zero", "seed": None, "sigma_s": 0.0, "distribution": "none"}
    return {
        "mode": noise.mode,
        "seed": noise.seed,
        "sigma_s": restorer.spec.sigma_s,
        "distribution": "standard normal, scaled by sigma_s inside the graph; NumPy PCG64 where it is baked",
    }


def _versions(target: Target, quantized: bool) -> dict[str, str]:
    packages = (*target.packages, *(target.quantizers if quantized else ()))
    return {name: _version_of(name) for name in ("elir-edge", *packages)}


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _key(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}") if math.isfinite(value) else value
