"""The options of an export, checked before any work, and the identity of its result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from elir_edge.artifacts.signature import GraphForm, parse_size
from elir_edge.core.plain import installed_version
from elir_edge.errors import UsageError, missing_package
from elir_edge.families.restorer import Restorer, WeightSource
from elir_edge.families.weights import tensors_sha256
from elir_edge.imaging.noise import NoiseContract
from elir_edge.pipeline.split import split_target
from elir_edge.pipeline.target import INTEGER_PRECISIONS, Target, get_target, targets
from elir_edge.quantize.calibration import Calibration, gather_calibration
from elir_edge.quantize.levels import W8A16
from elir_edge.quantize.plan import DEFAULT_LIMITS, Quantization
from elir_edge.validation.trials import check_disjoint

MIXED = "mixed"
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

        The spec's default weights are left out: others may be in use, and the default may be a path.
        """
        source = restorer.source or WeightSource("in memory", "memory", "", True)
        digest = tensors_sha256(restorer.state_dict())
        return (
            {
                "target": self.target.name,
                "precision": self.precision,
                "spec": restorer.spec.to_dict() | {"weights": None},
                "weights": dataclasses.asdict(source) | {"tensors_sha256": digest},
                "size": (self.form.height, self.form.width),
                "io": self.form.io,
                "layout": self.form.layout,
                "noise": _noise_contract(restorer, self.form.noise),
                "versions": _versions(self.target, self.quantization is not None),
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
    chosen = split_target(get_target(target)) if split else get_target(target)
    if precision not in chosen.precisions:
        raise UsageError(
            f"the target '{target}' has no precision '{precision}'{' for split artifacts' if split else ''}",
            hint=f"it offers {', '.join(chosen.precisions)}{_elsewhere(precision)}",
        )
    io = _io_of(chosen, precision, io)
    _require_installed(chosen, precision)
    contract = NoiseContract.parse(noise)
    if contract.mode == "input" and precision in chosen.bytes_only and restorer.spec.takes_noise:
        words = f"{target} at {precision} has no inputs besides the uint8 image: noise cannot be one"
        raise UsageError(words, hint="use --noise baked:SEED or zero")
    height, width = parse_size(size, restorer.spec)
    form = GraphForm(height, width, contract, io, chosen.layouts[io], chosen.latent_layout)
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
    calibration = gather_calibration(quantization.calibration, restorer.spec, height, width)
    check_disjoint(calibration.sources)
    return ExportRequest(chosen, precision, form, quantization, calibration)


def _elsewhere(precision: str) -> str:
    """The targets that offer ``precision``, for a hint; empty where none does."""
    able = [target.name for target in targets().values() if precision in target.precisions]
    return f"; {precision} is offered by --target {', '.join(able)}" if able else ""


def _io_of(target: Target, precision: str, io: str | None) -> str:
    ios = target.ios(precision)
    if io is not None and io not in ios:
        raise UsageError(
            f"io '{io}' is not one of {', '.join(ios)} for {target.name} at {precision}",
            hint="choose one of these with --io",
        )
    return io or ios[0]


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
    if restorer.source is not None and not restorer.source.trained:
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


def version_of(package: str) -> str:
    """Version of ``package``, or "not installed"."""
    return installed_version(package) or MISSING


def key_of(identity: dict[str, Any]) -> str:
    """sha256 of an ``ExportRequest.identity``."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
