"""Text about the model that the packages of all languages share."""

from __future__ import annotations

import hashlib

from elir_edge.packaging.facts import Facts, PackagedTensor
from elir_edge.packaging.render import float_digits, one_line

LITERT = "ai-edge-litert"
DEFAULT_LITERT = "2.3.0"
MEGA = 1e6


def common_values(facts: Facts) -> dict[str, object]:
    """Template values that all languages share: the model's numbers, and the text of its README."""
    return {
        "crc32": f"{facts.crc32:08x}",
        "width": facts.manifest.size[1],
        "height": facts.manifest.size[0],
        "model_bytes": len(facts.content),
        "activation_bytes": facts.activation_bytes,
        "test_levels": facts.test_levels,
        "test_db": float_digits(facts.test_db),
        **_model_card(facts),
    }


def litert_version(facts: Facts) -> str:
    """The version of LiteRT that the artifact was exported with: C and C++ packages are built against it."""
    return one_line(facts.manifest.versions.get(LITERT, DEFAULT_LITERT))


def _model_card(facts: Facts) -> dict[str, object]:
    """Template values: the README's table about the model and its origin, and its rules."""
    manifest, spec = facts.manifest, facts.manifest.spec
    noise = manifest.noise
    seed = f", seed {noise['seed']}" if noise["seed"] is not None else ""
    rows = (
        ("model", f"{spec['name']}: {spec['task']}, {_steps(facts)}"),
        ("weights", _weights(facts)),
        ("licence of the weights", manifest.weights.get("licence") or "not stated in the manifest"),
        ("precision", manifest.precision),
        ("frames", f"{manifest.size[1]} x {manifest.size[0]} pixels, width x height"),
        ("input", _tensor(facts.input)),
        ("output", _tensor(facts.output)),
        ("noise", f"{noise['mode']}{seed}: the same frame gives the same result every time"),
        ("model file", f"{facts.model_file}, {len(facts.content) / MEGA:.1f} MB, sha256 {_digest(facts)}"),
        ("values between operations", f"{facts.activation_bytes / MEGA:.1f} MB at one time, at least"),
        ("arithmetic", f"{manifest.graph['gflop']:.1f} GFLOP a frame"),
        ("parity", _parity(facts)),
        ("made with", ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))),
    )
    return {
        "title": one_line(spec["name"]),
        "card": "\n".join(f"| {key} | {one_line(value)} |" for key, value in rows),
        "elir_edge_version": one_line(manifest.versions.get("elir-edge", "")),
        "test_rule": _test_rule(facts),
        "stand_in": "" if manifest.trained else "\nThe weights are random stand-ins: restored pictures mean nothing.\n",
    }


def _test_rule(facts: Facts) -> str:
    rule = f"no value differs by more than {facts.test_levels} of 255 levels"
    return f"{rule}, or the PSNR is at least {facts.test_db:g} dB" if facts.test_db else rule


def _steps(facts: Facts) -> str:
    return f"{'' if facts.latent is None else '1 to '}{facts.steps} Euler steps"


def _weights(facts: Facts) -> str:
    weights = facts.manifest.weights
    stand_in = "" if facts.manifest.trained else ", random stand-ins"
    return f"{weights['name']}{stand_in}, sha256 {weights['sha256']}"


def _tensor(tensor: PackagedTensor) -> str:
    spec = tensor.spec
    shape = "x".join(map(str, spec.shape))
    return (
        f"{spec.name}: {spec.dtype} {shape} {spec.layout}, {spec.values}, "
        f"scale {tensor.scale:.9g}, zero point {tensor.zero_point}"
    )


def _digest(facts: Facts) -> str:
    return hashlib.sha256(facts.content).hexdigest()


def _parity(facts: Facts) -> str:
    parity = facts.manifest.parity
    if parity is None:
        return "not measured"
    return f"{parity['psnr_db']} dB to {parity['against']} in {parity['backend']} {parity['backend_version']}"
