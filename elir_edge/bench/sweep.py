"""A whole benchmark: choose backend, device and mode for each artifact, time model by model, check the pictures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import Artifact, Manifest
from elir_edge.bench.devices import devices_called, devices_to_time, missing_devices
from elir_edge.bench.energy import find_energy_meter
from elir_edge.bench.machine import machine_facts
from elir_edge.bench.measure import DEFAULT_ROUNDS, Contestant, Measured, measure
from elir_edge.bench.pictures import Scene, judge, make_scene, to_bytes
from elir_edge.bench.results import CUDA, UNCHECKED, Judgement, Model, Results, Row, Section
from elir_edge.bench.variant import EAGER, TorchVariant
from elir_edge.core.files import distinct_names
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import UsageError
from elir_edge.runtime.backend import TORCH, choose_backends, get_backend
from elir_edge.runtime.mode import ARITHMETICS, CPU, HINTS, Mode

CHOOSES_MODES = "openvino"
LATENCY = HINTS[0]


@dataclass(frozen=True)
class Plan:
    """What to time. ``backends`` and ``devices``: empty: all that open the artifact, all that are found.

    ``modes``: latency, throughput, bf16 or fp16, for backends that have modes; ``torch``: forms of PyTorch to time too
    (see ``TorchVariant``); ``weights``: the checkpoint, for artifacts that do not name theirs.
    """

    backends: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    modes: tuple[str, ...] = (LATENCY,)
    torch: tuple[str, ...] = (EAGER,)
    weights: tuple[str, ...] = ()
    threads: int | None = None
    rounds: int = DEFAULT_ROUNDS

    def __post_init__(self) -> None:
        for mode in self.modes:
            parse_mode(mode, CPU)
        for variant in self.torch:
            TorchVariant.parse(variant)


@dataclass(frozen=True)
class Gallery:
    """The pictures of one section: the scene, and each row's restored pictures by label, uint8 N x H x W x 3."""

    scene: Scene
    restored: dict[str, np.ndarray]


def parse_mode(word: str, device: str) -> Mode:
    """The Mode on ``device`` for latency, throughput, bf16 or fp16. Raises UsageError for any other word."""
    if word in HINTS:
        return Mode(device, word)
    if word in ARITHMETICS:
        return Mode(device, LATENCY, word)
    raise UsageError(f"there is no mode '{word}'", hint=f"known: {', '.join((*HINTS, *ARITHMETICS))}")


def sweep(
    artifacts: Sequence[Artifact], plan: Plan, progress: Progress | None = None, reference: bool = True
) -> tuple[Results, list[Gallery]]:
    """Time ``artifacts`` as ``plan`` says. Artifacts of one model run in turn with PyTorch, if it is installed.

    ``reference`` False leaves PyTorch out. Rows that fail have an error, and the others go on.

    Raises UsageError for a backend that opens none of the artifacts and for a device that no backend knows,
    UnavailableError if no runtime is installed.
    """
    progress = progress or Silent()
    plan = dataclasses.replace(plan, devices=devices_called(plan.devices))
    precisions = {artifact.path: artifact.manifest.precision for artifact in artifacts}
    pairs = choose_backends(precisions, plan.backends, progress.note)
    sections, galleries = [], []
    peaks: dict[str, float] = {}
    for group in _by_model([artifact for artifact in artifacts if artifact.path in dict(pairs)]):
        found = _artifact_rows(group, pairs, plan)
        manifest = group[0].manifest
        forms = _torch_rows(manifest, plan) if reference else []
        if reference and not forms:
            progress.note(f"note: PyTorch left out: {_why_no_torch(manifest, plan)}")
        section, gallery, best = run_section(model_of(manifest), [*forms, *found], manifest, plan, progress)
        sections.append(section)
        galleries.append(gallery)
        peaks = {name: max(speed, peaks.get(name, 0.0)) for name, speed in best.items()}
    backends = dict.fromkeys([name for _, name in pairs] + ([TORCH] if reference else []))
    return make_results(sections, plan, peaks, missing_devices(backends)), galleries


def run_section(
    model: Model, contestants: Sequence[Contestant], manifest: Manifest, plan: Plan, progress: Progress
) -> tuple[Section, Gallery, dict[str, float]]:
    """Time ``contestants`` on one model; if the first is PyTorch eager, compare their pictures with its pictures."""
    scene = make_scene(manifest.model_spec(), manifest.size)
    measured = measure(contestants, plan.rounds, progress, scene.degraded, plan.threads)
    reference = _reference(contestants[0], measured, manifest, plan)
    rows = [
        dataclasses.replace(row, judgement=_judgement(row, pictures, reference, scene, model.trained))
        for row, pictures in zip(measured.rows, measured.restored, strict=True)
    ]
    return Section(model, rows, measured.noise), _gallery(scene, measured), measured.peaks


def make_results(sections: list[Section], plan: Plan, peaks: dict[str, float], missing: Sequence[str] = ()) -> Results:
    """The results of ``sections``, with the machine, the settings, the source of energy figures and missing devices."""
    settings = {key: value for key, value in dataclasses.asdict(plan).items() if key in ("threads", "rounds")}
    energy = find_energy_meter().reason or "joules of the processor package, idle share included (RAPL)"
    return Results(machine_facts(), settings, peaks, energy, list(missing), sections)


def torch_contestant(
    manifest: Manifest, variant: str, weights: Sequence[str], threads: int | None, **more: Any
) -> Contestant:
    """PyTorch in the form ``variant``, with model and noise of ``manifest``; ``more`` is added to the request."""
    form = TorchVariant.parse(variant)
    label = "PyTorch " + variant.replace("+", ", ").replace("_", " ")
    row = Row(
        label, manifest.graph["gflop"], backend=TORCH, device=CUDA if form.cuda else CPU,
        arithmetic=form.dtype, threads=threads,
    )  # fmt: skip
    request = {
        "kind": "torch",
        "backend": TORCH,
        "variant": variant,
        "spec": manifest.spec,
        "weights": list(weights) or manifest.weights["name"],
        "tensors_sha256": manifest.weights["tensors_sha256"],
        "size": manifest.size,
        "noise": {"mode": manifest.noise["mode"], "seed": manifest.noise["seed"]},
        "threads": threads,
    }
    return Contestant(row, request | more)


def _why_no_torch(manifest: Manifest, plan: Plan) -> str | None:
    """Why PyTorch cannot compute the model of ``manifest`` here; None where it can."""
    if not get_backend(TORCH).is_installed():
        return f"it is not installed; pip install '{get_backend(TORCH).install}'"
    if not (plan.weights or manifest.names_its_weights):
        return f"it needs the weights, {manifest.weights['name']}; --weights says where they are"
    return None


def _torch_rows(manifest: Manifest, plan: Plan) -> list[Contestant]:
    if _why_no_torch(manifest, plan) is not None:
        return []
    weights = () if manifest.names_its_weights else plan.weights
    return [torch_contestant(manifest, form, weights, plan.threads) for form in dict.fromkeys((EAGER, *plan.torch))]


def _artifact_rows(group: list[Artifact], pairs: list[tuple[Path, str]], plan: Plan) -> list[Contestant]:
    names = distinct_names([artifact.path for artifact in group])
    return [
        artifact_contestant(artifact, backend, mode, plan.threads, names[artifact.path])
        for artifact in group
        for path, backend in pairs
        if path == artifact.path
        for device in devices_to_time(backend, plan.devices)
        for mode in _modes(backend, device, plan)
    ]


def _modes(backend: str, device: str, plan: Plan) -> list[Mode]:
    words = dict.fromkeys(plan.modes) if backend == CHOOSES_MODES else (LATENCY,)
    return [parse_mode(word, device) for word in words]


def artifact_contestant(
    artifact: Artifact, backend: str, mode: Mode, threads: int | None, name: str | None = None
) -> Contestant:
    """An artifact in a backend, in one mode; ``name`` is shown, the file's own where it is None."""
    manifest = artifact.manifest
    special = [mode.device] if mode.device != CPU else []
    special += [word for word in (mode.hint, mode.arithmetic) if word not in (LATENCY, "fp32")]
    row = Row(
        ", ".join([f"{name or artifact.path.name} in {backend}", *special]),
        manifest.graph["gflop"],
        str(artifact.path),
        backend,
        mode.device,
        mode.hint,
        manifest.precision,
        mode.arithmetic,
        threads,
        artifact.size_bytes,
    )
    request = {
        "kind": "artifact",
        "path": str(artifact.path),
        "backend": backend,
        "mode": dataclasses.asdict(mode),
        "size": manifest.size,
        "threads": threads,
    }
    return Contestant(row, request)


def _by_model(artifacts: Sequence[Artifact]) -> list[list[Artifact]]:
    """Artifacts grouped by model, weights, size and noise, in their order."""
    groups: dict[str, list[Artifact]] = {}
    for artifact in artifacts:
        manifest = artifact.manifest
        noise = (manifest.noise["mode"], manifest.noise["seed"])
        key = json.dumps([manifest.spec, manifest.weights["tensors_sha256"], manifest.size, noise], sort_keys=True)
        groups.setdefault(key, []).append(artifact)
    return list(groups.values())


def model_of(manifest: Manifest) -> Model:
    """The model of a manifest."""
    spec, weights = manifest.spec, manifest.weights
    return Model(
        spec["name"], spec["task"], manifest.size, spec["steps"], str(weights["name"]), bool(weights.get("trained"))
    )


def _reference(first: Contestant, measured: Measured, manifest: Manifest, plan: Plan) -> np.ndarray | str:
    """The pictures of PyTorch eager, N x H x W x 3, or the reason why there are none."""
    if first.request.get("variant") != EAGER:
        return f"PyTorch is left out: {_why_no_torch(manifest, plan) or 'it was not asked for'}"
    pictures = measured.restored[0]
    return f"PyTorch failed: {measured.rows[0].error}" if pictures is None else pictures


def _judgement(
    row: Row, pictures: np.ndarray | None, reference: np.ndarray | str, scene: Scene, trained: bool
) -> Judgement | None:
    """A row's ``pictures`` compared with ``reference``: those of PyTorch, or why there are none. None without any."""
    if pictures is None or row.error is not None:
        return None
    if isinstance(reference, str):
        return Judgement(UNCHECKED, reason=reference)
    return judge(pictures, reference, scene, row.computes_in, trained)


def _gallery(scene: Scene, measured: Measured) -> Gallery:
    made = zip(measured.rows, measured.restored, strict=True)
    return Gallery(scene, {row.label: to_bytes(pictures) for row, pictures in made if pictures is not None})
