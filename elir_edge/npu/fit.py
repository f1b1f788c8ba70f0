"""Estimate, before any export, whether a model fits a device, which ops leave the NPU, and what would help."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from elir_edge.artifacts.artifact import Artifact
from elir_edge.artifacts.precision import WEIGHT_BYTES
from elir_edge.families.spec import ModelSpec
from elir_edge.formats.graphs import FLOAT_BYTES, Graph, Op, read_graph
from elir_edge.npu.compiler import KIB, compiler_for, get_compiler
from elir_edge.npu.device import KnownDevice
from elir_edge.npu.memory import striped_bytes, whole_bytes
from elir_edge.pipeline.target import FLOAT_PARTS, INTEGER_PRECISIONS, INTEGERS_ONLY
from elir_edge.quantize.levels import W8A16

PRECISIONS = ("fp32", "fp16", "int8", W8A16)


@dataclass(frozen=True)
class Fit:
    """Whether a model fits. ``verdict`` is ``yes``, ``no``, or ``tight``: fits only if the compiler works in stripes.

    ``arena_kib``: memory for whole activations, ``whole_bytes``; ``striped_kib``: its estimate if the compiler works
    in stripes, None if it does not; ``leaving``: number of ops that leave the NPU, by op and reason; ``problems``:
    reasons for ``no``; ``changes``: options that would help; ``recommended``: the precision to export for the device.
    """

    verdict: str
    device: str
    model: str
    precision: str
    size: tuple[int, int]
    weights_kib: int
    arena_kib: int
    striped_kib: int | None
    ops: int
    leaving: dict[str, int]
    problems: tuple[str, ...]
    changes: tuple[str, ...]
    recommended: str

    @property
    def fits(self) -> bool:
        """Whether the verdict is ``yes`` or ``tight``."""
        return self.verdict != "no"


@dataclass(frozen=True)
class Model:
    """The graph of a model at one size (height, width) and precision.

    ``float_parts``: an int8 export of it with integers only may have fewer ops that leave the NPU.
    """

    name: str
    graph: Graph
    spec: ModelSpec
    size: tuple[int, int]
    precision: str
    float_parts: bool = False


def fit_artifact(artifact: Artifact, device: KnownDevice) -> Fit:
    """Whether an artifact fits ``device``, from the tensors in the file. Needs no torch.

    Raises UsageError for what the device's compiler does not take (``compiler_for``), DataError for a damaged file.
    """
    compiler_for(artifact, device)
    manifest = artifact.manifest
    graph = read_graph(artifact.path)
    spec = manifest.model_spec()
    parts = bool(manifest.format.get(FLOAT_PARTS))
    return judge(Model(str(artifact.path), graph, spec, manifest.size, manifest.precision, parts), device)


def fit_model(spec: ModelSpec, size: tuple[int, int], precision: str, device: KnownDevice, name: str) -> Fit:
    """Whether a model fits ``device``, from its lowered graph with random weights: it need not be exported.

    Raises UnavailableError if torch is not installed.
    """
    graph = _lowered_graph(spec, size, precision, get_compiler(device.shared.compiler).takes)
    return judge(Model(name, graph, spec, size, precision), device)


def judge(model: Model, device: KnownDevice) -> Fit:
    """Compare the ops and the memory of ``model`` with those of ``device``."""
    arena, least = whole_bytes(model.graph, device, model.precision), striped_bytes(model.graph, device)
    weights = model.graph.weight_bytes
    leaving = Counter(told for op in model.graph.ops if (told := _leaves(op, device)))
    problems = [*_ops_problem(leaving, len(model.graph.ops)), *_memory_problems(least or arena, weights, device)]
    tight = not problems and bool(_memory_problems(arena, weights, device))
    return Fit(
        verdict="no" if problems else "tight" if tight else "yes",
        device=device.name,
        model=model.name,
        precision=model.precision,
        size=model.size,
        weights_kib=_kib(weights),
        arena_kib=_kib(arena),
        striped_kib=None if least is None else _kib(least),
        ops=len(model.graph.ops),
        leaving=dict(sorted(leaving.items())),
        problems=tuple(problems),
        changes=tuple(_changes(model, device, bool(leaving))) if problems or tight else (),
        recommended=device.shared.recommended,
    )


def _leaves(op: Op, device: KnownDevice) -> str | None:
    """The op and the reason why the device's NPU does not support it; None if it does."""
    shared = device.shared
    if op.name not in shared.ops:
        return f"{op.name}: not an op of {shared.family}"
    foreign = sorted(set(op.types) - set(shared.types))
    if foreign:
        return f"{op.name}: {', '.join(foreign)}"
    elements = math.prod(op.shapes[0][1:3]) if op.shapes else 0
    if op.name == "MEAN" and "int16" in op.types and 0 < shared.mean_elements_int16 < elements:
        return f"{op.name}: over more than {shared.mean_elements_int16} int16 values"
    if op.name == "RESIZE_NEAREST_NEIGHBOR" and shared.resize_factors and len(op.shapes) > 1:
        factor = op.shapes[-1][1] / op.shapes[0][1]
        if factor not in shared.resize_factors:
            return f"{op.name}: by {factor:g}"
    return None


def _ops_problem(leaving: Counter[str], ops: int) -> list[str]:
    return [f"{leaving.total()} of {ops} ops would leave the NPU"] if leaving else []


def _memory_problems(arena: float, weights: float, device: KnownDevice) -> list[str]:
    memory = device.memory
    needed: Counter[str] = Counter()
    for name, size in ((memory.arena, arena), (memory.weights, weights)):
        if name:
            needed[name] += _kib(size)
    return [
        f"about {kib} KiB of {name} are needed, the device has {memory.kib(name)}"
        for name, kib in needed.items()
        if kib > memory.kib(name)
    ]


def _changes(model: Model, device: KnownDevice, leaving: bool) -> list[str]:
    """Options that would make the model fit, each checked by the same estimate. The steps K share weights and arena."""
    said = []
    smaller = model
    if leaving and model.precision != "int8" and "float32" not in device.shared.types:
        said.append("--precision int8: this NPU computes 8-bit integers only")
        smaller = _in_int8(model, device)
    elif leaving and model.float_parts:
        said.append(INTEGERS_ONLY)
    elif model.precision == "fp32":
        smaller = _in_int8(model, device)
        said += ["--precision int8: a quarter of weights and activations"] if _memory_fits(smaller, device) else []
    if _memory_fits(smaller, device):
        return said
    multiple, side = model.spec.size_multiple, min(model.size)
    for size in range(side - multiple, 0, -multiple):
        scaled = _scaled_model(smaller, size * size / (model.size[0] * model.size[1]), smaller.precision)
        if _memory_fits(scaled, device):
            striped, whole = striped_bytes(scaled.graph, device), whole_bytes(scaled.graph, device, scaled.precision)
            told = f"{_kib(striped)} KiB in stripes" if striped else f"{_kib(whole)} KiB"
            said.append(f"--size {size}: about {told} of activations; larger pictures are cut into tiles")
            break
    if not model.spec.name.endswith("nano"):
        said.append("--preset nano: a sixteenth of sr's weights and half its activations; ask fit about it")
    return [*said, "fewer steps K would make it faster, not smaller: all steps share weights and arena"]


def _memory_fits(model: Model, device: KnownDevice) -> bool:
    striped = striped_bytes(model.graph, device)
    arena = whole_bytes(model.graph, device, model.precision) if striped is None else striped
    return not _memory_problems(arena, model.graph.weight_bytes, device)


def _in_int8(model: Model, device: KnownDevice) -> Model:
    """``model`` as its int8 form would be."""
    if model.precision in INTEGER_PRECISIONS:
        return _scaled_model(model, 1, "int8")
    floats = FLOAT_BYTES[get_compiler(device.shared.compiler).takes]
    return _scaled_model(model, 1 / floats, "int8", 1 / WEIGHT_BYTES[model.precision])


def _scaled_model(model: Model, factor: float, precision: str, weights: float = 1) -> Model:
    """``model`` with the bytes of its activations times ``factor`` and those of its weights times ``weights``."""
    graph = model.graph
    sizes = {name: math.ceil(size * factor) for name, size in graph.bytes.items()}
    stored = math.ceil(graph.weight_bytes * weights)
    scaled = Graph(graph.ops, sizes, graph.inputs, graph.outputs, stored)
    return Model(model.name, scaled, model.spec, model.size, precision)


def _kib(size: float) -> int:
    return math.ceil(size / KIB)


def _lowered_graph(spec: ModelSpec, size: tuple[int, int], precision: str, suffix: str) -> Graph:
    from elir_edge.runtime.backend import TORCH, get_backend

    get_backend(TORCH).load()
    from elir_edge.families.weights import load_restorer
    from elir_edge.lowering.lower import lower
    from elir_edge.npu.op_graph import graph_of

    restorer = load_restorer(spec, "random:0")
    if suffix == ".onnx":
        return graph_of(lower(restorer, size), precision, suffix)
    io = "uint8" if precision == "int8" else "float"
    graph = lower(restorer, size, io=io, layout="NHWC", latent_layout="NHWC", norm="pointwise")
    return graph_of(graph, precision, suffix)
