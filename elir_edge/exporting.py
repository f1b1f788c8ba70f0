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

from elir_edge.artifact import Artifact, Manifest, load_artifact, sha256_of, sidecar
from elir_edge.errors import (
    ElirEdgeError,
    GateError,
    OutputError,
    ResourceError,
    StorageError,
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
from elir_edge.runtime import get_backend, open_session
from elir_edge.signature import RESTORED, GraphForm, StageSpec, parse_size
from elir_edge.target import Conversion, Target, get_target
from elir_edge.validation import Validation, validate
from elir_edge.weights import tensors_sha256

PARITY_PICTURE = "astronaut"


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for, in full: two equal requests give the same artifact."""

    target: Target
    precision: str
    form: GraphForm

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
            "versions": _versions(self.target),
        }


def export(
    restorer: Restorer,
    target: str = "onnx",
    precision: str = "fp32",
    size: int | str | tuple[int, int] | None = None,
    noise: str = "baked:0",
    io: str = "float",
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Artifact:
    """Write an artifact that restores as ``restorer`` does, and the manifest beside and inside it.

    Args:
        restorer: from ``load_restorer``; not changed.
        target: a format's name (``elir-edge targets``). precision: one that the target offers.
        size: pixels, a side or (height, width); None for the spec's own.
        noise: ``baked:SEED``, ``input`` or ``zero``. io: ``float`` [0, 1] or ``uint8`` 0..255.
        out: the file to write, or a folder; None for ``build/``. force: replace what is there.
        progress: told of each long stage.

    Returns:
        The artifact; ``fresh`` is False where an identical one was there already.

    Raises:
        UsageError, ConfigError: a request that makes no sense. OutputError: something else is there already, or
        nothing can be written there. GateError: the result is not within 1e-4 of PyTorch; nothing is published.
        UnavailableError: a library that is not installed. StorageError, ResourceError: disk or memory ran out.
    """
    progress = progress or Silent()
    request = _request(restorer, target, precision, size, noise, io)
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
    restorer: Restorer, target: str, precision: str, size: int | str | tuple[int, int] | None, noise: str, io: str
) -> ExportRequest:
    chosen = get_target(target)
    if precision not in chosen.precisions:
        raise UsageError(
            f"the target '{target}' has no precision '{precision}'", hint=f"it offers {', '.join(chosen.precisions)}"
        )
    if io not in chosen.layouts:
        raise UsageError(f"io '{io}' is not one of {', '.join(chosen.layouts)}")
    height, width = parse_size(size, restorer.spec)
    form = GraphForm(height, width, NoiseContract.parse(noise), io, chosen.layouts[io], chosen.latent_layout)
    return ExportRequest(chosen, precision, form)


def _build(
    restorer: Restorer, request: ExportRequest, identity: dict[str, Any], folder: Path, stem: str, progress: Progress
) -> Manifest:
    """Convert into ``folder``, measure, and embed the manifest; returns it."""
    form, target = request.form, request.target
    with progress.stage("lowering"):
        size = (form.height, form.width)
        graph = lower(restorer, size, str(form.noise), form.io, form.layout, form.latent_layout, target.norm)
        cost = measure("lowered", graph)
    facts = _convert(graph, request, Conversion(folder, stem, request.precision, progress))
    manifest = Manifest(
        **identity,
        request=_key(identity),
        inputs=tuple(form.inputs(restorer.spec)),
        outputs=tuple(form.outputs()),
        stages=_stages(graph),
        graph={"parameters": cost.parameters, "gflop": round(cost.gflop, 3), "ops": cost.ops},
        format=facts,
    )
    path = folder / f"{stem}{target.suffixes[0]}"
    target.embed(path, manifest.to_json())
    backend = target.backends[0]
    pictures = {PARITY_PICTURE: builtin_photograph(PARITY_PICTURE)}
    validation = validate(path, manifest, restorer, pictures, backend, progress=progress)
    _gate(validation)
    golden = record_golden(path, manifest, backend)
    manifest = dataclasses.replace(manifest, parity=_parity(validation), golden=golden)
    target.embed(path, manifest.to_json())
    open_session(path, backend).close()
    return manifest


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


def _gate(validation: Validation) -> None:
    if validation.passed:
        return
    worst = validation.pictures[validation.worst]
    began = f"; the drift began at {validation.drift_began}" if validation.drift_began else ""
    raise GateError(
        f"the artifact differs from PyTorch by {worst.max_abs:.3g}, allowed is {validation.limit:.3g} "
        f"({worst.problem or f'{worst.psnr_db:.1f} dB'}, on {validation.worst}{began})",
        hint="nothing was written",
    )


def _parity(validation: Validation) -> dict[str, Any]:
    worst = validation.pictures[validation.worst]
    backend = get_backend(validation.backend)
    return {
        "against": "PyTorch fp32",
        "backend": validation.backend,
        "backend_version": _version_of(backend.package),
        "pictures": sorted(validation.pictures),
        "limit": validation.limit,
        "max_abs": _two_digits(worst.max_abs),
        "psnr_db": round(worst.psnr_db, 1),
        "mean_shift": [_two_digits(shift) for shift in worst.mean_shift],
    }


def _publish(manifest: Manifest, target: Target, scratch: Path, staged: Path, path: Path) -> Artifact:
    sources = [scratch / f"{path.stem}{suffix}" for suffix in target.suffixes]
    manifest = dataclasses.replace(manifest, files={source.name: sha256_of(source) for source in sources})
    files = [copy_in(source, staged) for source in sources]
    golden = copy_in(golden_path(sources[0]), staged)
    for file in files:
        if sha256_of(file) != manifest.files[file.name]:
            raise StorageError(f"{file.name}: what was written is not what was validated", hint="check the disk")
    beside = write_in(staged, sidecar(path).name, manifest.to_json().encode())
    publish([*files, golden, beside], path.parent)
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
    if path.is_dir():
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
    return artifact if artifact.manifest.request == key and has_golden(artifact) else None


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


def _versions(target: Target) -> dict[str, str]:
    return {name: _version_of(name) for name in ("elir-edge", *target.packages)}


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _key(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}") if math.isfinite(value) else value
