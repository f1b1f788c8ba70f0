"""elir-edge inspect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elir_edge.artifacts.facts import NOT_COMPARED
from elir_edge.artifacts.signature import TensorSpec
from elir_edge.cli.shared import PATH, Shown, echo_json, echo_table, json_option, open_artifact, size_option
from elir_edge.errors import UsageError
from elir_edge.families.spec import ModelSpec, find_preset, load_spec

if TYPE_CHECKING:
    from elir_edge.artifacts.artifact import Manifest
    from elir_edge.lowering.cost import ModelCost

PRECISIONS = ("fp32", "fp16", "int8")
BOUND = ", PSNR of the autoencoder's own reconstruction of a photograph"


@click.command("inspect")
@click.argument("artifact", metavar="ARTIFACT|PRESET", type=PATH)
@size_option
@json_option
def command(artifact: Path, size: str | None, as_json: bool) -> None:
    """Say what an artifact is: model, inputs, outputs, noise, precision, parity.

    Of a preset or a model's YAML file: what it costs, before any export and without its weights.
    """
    from elir_edge.artifacts.artifact import is_there

    if artifact.suffix in (".yaml", ".yml") or (not is_there(artifact) and find_preset(str(artifact))):
        return _model(load_spec(str(artifact)), size, as_json)
    if size:
        raise UsageError(f"{artifact}: an artifact has its own size", hint="name a preset to try others")
    manifest = open_artifact(artifact, Shown()).manifest
    if as_json:
        echo_json(json.loads(manifest.to_json()))
        return
    echo_table((str(artifact), ""), rows_of(manifest))


def _model(spec: ModelSpec, size: str | None, as_json: bool) -> None:
    from elir_edge.artifacts.signature import parse_size
    from elir_edge.runtime.backend import TORCH, get_backend

    get_backend(TORCH).load()
    from elir_edge.lowering.cost import cost_of

    cost = cost_of(spec, parse_size(size, spec))
    if as_json:
        facts = {"parameters": cost.parameters, "parts": cost.parts, "gflop": round(cost.gflop, 3)}
        echo_json({"spec": spec.to_dict(), "size": cost.size} | facts)
    else:
        echo_table((spec.name, ""), model_rows(spec, cost))


def model_rows(spec: ModelSpec, cost: ModelCost) -> list[tuple[str, str]]:
    """What a model is and costs, as (what, value) for people."""
    height, width = cost.size
    return [
        ("model", f"{spec.family_name}, {spec.task}, {spec.steps} Euler steps, sigma_s {spec.sigma_s}"),
        ("weights", spec.weights or "none: give a checkpoint"),
        ("parameters", f"{cost.parameters:,}"),
        *((f"  {name}", f"{count:,}") for name, count in cost.parts.items()),
        ("arithmetic", f"{cost.gflop:,.1f} GFLOP a picture of {height} x {width}"),
        ("size", ", ".join(f"{name} about {cost.megabytes(name):.1f} MB" for name in PRECISIONS)),
    ]


def rows_of(manifest: Manifest) -> list[tuple[str, str]]:
    """What a manifest says, as (what, value) for people."""
    spec, noise, parity = manifest.spec, manifest.noise, manifest.parity
    stand_in = "" if manifest.trained else "  (random stand-ins: pictures mean nothing)"
    seed = f":{noise['seed']}" if noise["seed"] is not None else ""
    return [
        ("model", f"{spec['name']}: {spec['task']}, {spec['steps']} Euler steps"),
        ("weights", f"{manifest.weights['name']}{stand_in}"),
        ("", f"sha256 {manifest.weights['sha256']}"),
        ("target", f"{manifest.target} {manifest.precision}, {manifest.format}"),
        ("graph", f"{manifest.graph['parameters']:,} numbers stored, {manifest.graph['gflop']:.1f} GFLOP a picture"),
        ("noise", f"{noise['mode']}{seed}, sigma_s {noise['sigma_s']}"),
        *((f"input {tensor.name}", _describe(tensor)) for tensor in manifest.inputs),
        *((f"output {tensor.name}", _describe(tensor)) for tensor in manifest.outputs),
        ("stages inside", ", ".join(stage.name for stage in manifest.stages)),
        ("parity", _parity(parity) if parity else "not measured"),
        *((("bound", f"{parity['autoencoder_db']:.2f} dB{BOUND}"),) if parity and "autoencoder_db" in parity else ()),
        *((("activations", _activations(manifest.activations)),) if manifest.activations else ()),
        *((("split", f"1 to {manifest.split['most_steps']} steps, chosen when it runs"),) if manifest.split else ()),
        *((("compiled", _compilation(manifest.compiled)),) if manifest.compiled else ()),
        ("made with", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]


def _describe(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape))} {tensor.layout}, {tensor.values}"


def _compilation(facts: dict[str, Any]) -> str:
    figures = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts["figures"].items())
    made_from, by = facts["made_from"]["name"], f"{facts['compiler']} {facts['compiler_version']}"
    return f"for {facts['device']} from {made_from} by {by}; {facts['figures_are']}: {figures}"


def _activations(facts: dict[str, Any]) -> str:
    where = f"{facts['operator']} in {facts['stage']}"
    return f"at most {facts['largest']:g} ({where}); half precision ends at {facts['limit']:g}"


def _parity(parity: dict[str, Any]) -> str:
    if NOT_COMPARED in parity:
        return f"not compared: {parity[NOT_COMPARED]}"
    where = f"{parity['backend']} {parity['backend_version']} on {', '.join(parity['pictures'])}"
    return f"max abs {parity['max_abs']:.1e}, {parity['psnr_db']:.1f} dB to {parity['against']}, {where}"
