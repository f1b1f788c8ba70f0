"""The options of an export, checked before any work, and the identity of its result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from elir_edge.artifacts.signature import GraphForm
from elir_edge.core.plain import installed_version
from elir_edge.errors import UsageError, missing_package
from elir_edge.families.registry import package_of
from elir_edge.families.restorer import Restorer, WeightSource
from elir_edge.families.spec import ModelSpec
from elir_edge.families.weights import tensors_sha256
from elir_edge.imaging.noise import NoiseContract
from elir_edge.lowering.unroll import unroll
from elir_edge.pipeline.form import choose_target, form_of
from elir_edge.pipeline.target import INTEGER_PRECISIONS, Target
from elir_edge.quantize.calibration import Calibration, gather_calibration
from elir_edge.quantize.levels import W8A16
from elir_edge.quantize.plan import DEFAULT_LIMITS, Quantization
from elir_edge.validation.trials import check_disjoint

MIXED = "mixed"
PROBE_SEED = 0
MISSING = "not installed"


@dataclass(frozen=True)
class ExportRequest:
    """All options of an export: two equal requests give the same artifact."""

    target: Target
    precision: str
    form: GraphForm
    quantization: Quantization | None = None
    calibration: Calibration | None = None
    split: bool = False

    def identity(self, restorer: Restorer) -> dict[str, Any]:
        """Everything that decides the result, as plain data: model, options, versions of the packages.

        The spec's default weights are left out: others may be in use, and the default may be a path. What a user's own
        module computes stands for its code, which neither spec nor weights tell.
        """
        source = restorer.source or WeightSource("in memory", "memory", "", True)
        digests = {"tensors_sha256": tensors_sha256(restorer.state_dict())}
        if restorer.spec.foreign_parts:
            digests["stages_sha256"] = _stages_sha256(restorer, self.form)
        return (
            {
                "target": self.target.name,
                "precision": self.precision,
                "spec": restorer.spec.to_dict() | {"weights": None},
                "weights": dataclasses.asdict(source) | digests,
                "size": (self.form.height, self.form.width),
                "io": self.form.io,
                "layout": self.form.layout,
                "noise": _noise_contract(restorer, self.form.noise),
                "versions": _versions(self.target, self.quantization is not None) | _family_version(restorer.spec),
            }
            | self._quantization_facts()
            | ({"split": {"most_steps": restorer.spec.steps}} if self.split else {})
        )

    def _quantization_facts(self) -> dict[str, Any]:
        if self.quantization is None or self.calibration is None:
            return {}
        return {"quantization": {"calibration": self.calibration.facts} | self.quantization.facts()}


def request_of(
    restorer: Restorer,
    target: str,
    precision: str,
    size: int | str | tuple[int, int] | None,
    noise: str,
    io: str | None,
    quantization: Quantization | None,
    split: bool = False,
) -> ExportRequest:
    """The options of ``export``, checked, with the calibration pictures. Raises what ``export`` documents."""
    chosen = choose_target(target, precision, split)
    _require_installed(chosen, precision)
    form = form_of(restorer.spec, chosen, precision, size, noise, io)
    if precision not in INTEGER_PRECISIONS:
        if quantization is not None:
            raise UsageError(
                f"calibration and tuning are options of integer precisions, not of {precision}", hint="--precision int8"
            )
        return ExportRequest(chosen, precision, form, split=split)
    if precision == W8A16 and quantization is not None and quantization.tune is not None:
        raise UsageError(
            "tuning makes up for 8-bit activations, which w8a16 does not have", hint="leave --tune and --tune-steps out"
        )
    quantization = _with_limits(quantization or Quantization(), restorer, precision)
    calibration = gather_calibration(quantization.calibration, restorer.spec, form.height, form.width)
    check_disjoint(calibration.sources)
    return ExportRequest(chosen, precision, form, quantization, calibration)


def _require_installed(target: Target, precision: str) -> None:
    """Raise UnavailableError now rather than after minutes of calibration."""
    if precision in INTEGER_PRECISIONS:
        for packages, extra in ((target.packages, target.extra), (target.quantizers, "quantize")):
            for package in packages:
                if installed_version(package) is None and find_spec(package.replace("-", "_")) is None:
                    raise missing_package(package, extra)


def _with_limits(quantization: Quantization, restorer: Restorer, precision: str) -> Quantization:
    if precision != MIXED:
        if quantization.limits is not None:
            raise UsageError(
                f"limits of drop, size and latency are options of mixed, not of {precision}", hint="--precision mixed"
            )
        return quantization
    if not restorer.trained:
        raise UsageError(
            "stand-in weights restore nothing: mixed precision has no PSNR to compare",
            hint="give trained weights with --weights",
        )
    return dataclasses.replace(quantization, limits=quantization.limits or DEFAULT_LIMITS)


def _noise_contract(restorer: Restorer, noise: NoiseContract) -> dict[str, Any]:
    if not restorer.spec.takes_noise:
        return {"mode": "zero", "seed": None, "sigma_s": 0.0, "distribution": "none"}
    return {
        "mode": noise.mode,
        "seed": noise.seed,
        "sigma_s": restorer.spec.sigma_s,
        "distribution": "standard normal, scaled by sigma_s inside the graph; NumPy PCG64 where it is baked",
    }


def _versions(target: Target, quantized: bool) -> dict[str, str]:
    packages = (*target.packages, *(target.quantizers if quantized else ()))
    return {name: version_of(name) for name in ("elir-edge", *packages)}


def _family_version(spec: ModelSpec) -> dict[str, str]:
    package = package_of(spec.family_name)
    return {} if package is None else {package: version_of(package)}


def _stages_sha256(restorer: Restorer, form: GraphForm) -> str:
    """sha256 of all stages that ``restorer`` makes of one picture of the form's size: smaller ones it may not take."""
    graph = unroll(restorer, GraphForm(form.height, form.width, NoiseContract("baked", PROBE_SEED))).eval()
    pixels = np.random.default_rng(PROBE_SEED).random((1, 3, form.height, form.width), dtype=np.float32)
    with torch.no_grad():
        stages = graph.stages(torch.from_numpy(pixels))
    return tensors_sha256(stages)


def version_of(package: str) -> str:
    """Version of ``package``, or "not installed"."""
    return installed_version(package) or MISSING


def key_of(identity: dict[str, Any]) -> str:
    """sha256 of an ``ExportRequest.identity``."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
