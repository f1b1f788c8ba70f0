"""A static graph in three parts: before the steps, one step with its time as an input, after the steps."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from elir_edge.artifacts.signature import IMAGE, RESTORED, GraphForm, TensorSpec
from elir_edge.artifacts.split import DECODER, DT, ENCODER, LATENT, NEXT, SHIFTS, STEP, times_of
from elir_edge.errors import UsageError
from elir_edge.families.base import Stage, Walk, output_stages, walk
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.expose_time import expose_time, time_shifts
from elir_edge.families.rewrites.fold_time import fold_time
from elir_edge.lowering.lower import rewritten
from elir_edge.lowering.norm import NormForm, set_norm_form
from elir_edge.lowering.static import StaticRestorer, to_layout, to_nchw

WHOLE = "export it as one artifact"


class GraphPart(nn.Module):
    """A part of a static graph, with what exporters ask of a graph. ``names`` are its outputs, the last one is kept."""

    adds_noise = False

    def __init__(self, graph: StaticRestorer, stages: Sequence[Stage], names: list[str]) -> None:
        super().__init__()
        modules = {stage.module.partition(".")[0] for stage in stages if stage.module is not None}
        self.static = _only(graph, modules, noise=self.adds_noise)
        self.spec, self.form = graph.spec, graph.form
        self.part_stages, self.names = tuple(stages), names

    def inputs(self) -> list[TensorSpec]:
        """The latent, in the form's layout."""
        shape = self.form.stage_shape(self.spec)
        return [TensorSpec(LATENT, shape, "float32", self.form.latent_layout, "latent")]

    def output_names(self) -> list[str]:
        """Names of the outputs of ``module_to_convert()``."""
        return self.names

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Zeros of the inputs' shapes and types, for tracing."""
        return tuple(torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype)) for tensor in self.inputs())

    def module_to_convert(self) -> nn.Module:
        """The module to convert, whose output is a dict of all outputs."""
        return self


class EncoderPart(GraphPart):
    """The image, and the noise if it is an input -> all stages before the first step."""

    adds_noise = True

    def inputs(self) -> list[TensorSpec]:
        """Those of the whole graph."""
        return self.form.inputs(self.spec)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Stages by name, in the latent layout; the last one is the latent that the first step takes."""
        layout = self.form.latent_layout
        given = None if noise is None else to_nchw(noise, layout)
        values = walk(self.part_stages, Walk(self.static, {IMAGE: self.static.input_image(image)}, given))
        return {name: to_layout(values[name], layout) for name in self.names}


class StepPart(GraphPart):
    """One Euler step, z + dt field(z, t), whose time is given by its shifts."""

    def inputs(self) -> list[TensorSpec]:
        """The latent, the 1 x B shifts of its time, and dt."""
        width = sum(block.timed_conv.out_channels for block in self.static.fields()[0].residual_blocks())
        shifts = TensorSpec(SHIFTS, (1, width), "float32", "NC", "what the time adds to biases")
        return [*super().inputs(), shifts, TensorSpec(DT, (1, 1, 1, 1), "float32", "any", "1 / steps")]

    def forward(self, z: Tensor, shifts: Tensor, dt: Tensor) -> dict[str, Tensor]:
        """The next latent, in the latent layout."""
        layout = self.form.latent_layout
        latent = to_nchw(z, layout)
        return {NEXT: to_layout(latent + dt * self.static.fields()[0](latent, shifts), layout)}


class DecoderPart(GraphPart):
    """The latent after the last step -> the restored image."""

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        """The restored image, in the form's layout and value range."""
        latent = to_nchw(z, self.form.latent_layout)
        values = walk(self.part_stages, Walk(self.static, {f"state_{self.spec.steps}": latent}))
        return {RESTORED: self.static.output_image(values[RESTORED])}


@dataclasses.dataclass(frozen=True)
class SplitGraph:
    """The ``parts`` of a static graph by name, and the ``shifts`` of every time of ``times_of(K)``, one a row.

    ``most_steps`` is K.
    """

    parts: dict[str, GraphPart]
    shifts: np.ndarray
    most_steps: int


def lower_split(restorer: Restorer, form: GraphForm, norm: str) -> SplitGraph:
    """The static graph of ``restorer`` in three parts that together compute the same, for any number of steps up to K.

    Raises UsageError for a model without a field, or with one without blocks, for a family that folds times in a way of
    its own, and where a part needs more than the latent that is handed on.
    """
    rewrites = restorer.spec.family.rewrites()
    if not restorer.spec.has_flow:
        raise UsageError("a model without steps cannot be split", hint=WHOLE)
    if fold_time not in rewrites:
        raise UsageError(
            f"the family '{restorer.spec.family_name}' folds times in a way of its own: they cannot be an input",
            hint=WHOLE,
        )
    if not restorer.parts[restorer.spec.family.field or ""].residual_blocks():  # type: ignore[union-attr, operator]
        raise UsageError("no block of the field takes the time: the model cannot be split", hint=WHOLE)
    one_step = copy.copy(restorer)
    one_step.spec = dataclasses.replace(restorer.spec, steps=1)
    table: list[np.ndarray] = []

    def expose(graph: StaticRestorer) -> None:
        times = [float(time) for time in times_of(restorer.spec.steps)]
        table.append(time_shifts(graph.fields()[0], times).numpy())
        expose_time(graph)

    graph = rewritten(one_step, form, [expose if rewrite is fold_time else rewrite for rewrite in rewrites])
    set_norm_form(graph, NormForm.parse(norm))
    graph.eval().requires_grad_(False)
    return SplitGraph(_parts(graph), table[0], restorer.spec.steps)


def _parts(graph: StaticRestorer) -> dict[str, GraphPart]:
    stages = graph.stage_list()
    (at,) = (i for i, stage in enumerate(stages) if str(stage.module).startswith("steps."))
    before, step, after = stages[:at], stages[at : at + 1], stages[at + 1 :]
    if not output_stages(before):
        raise UsageError(
            f"the family '{graph.spec.family_name}' computes nothing before the steps: it cannot be split", hint=WHOLE
        )
    parts: dict[str, GraphPart] = {
        ENCODER: EncoderPart(graph, before, [stage.name for stage in output_stages(before)]),
        STEP: StepPart(graph, step, [NEXT]),
        DECODER: DecoderPart(graph, after, [RESTORED]),
    }
    _require_latent_only(parts[DECODER])
    return parts


def _require_latent_only(part: GraphPart) -> None:
    """Raise UsageError where a stage reads other values than the latent, told from a run without data."""
    try:
        copy.deepcopy(part).to("meta", torch.float32)(*(tensor.to("meta") for tensor in part.example_inputs()))
    except KeyError as error:
        raise UsageError(
            f"what is after the steps reads {error} in the family '{part.spec.family_name}': it cannot be split",
            hint=WHOLE,
        ) from error


def _only(graph: StaticRestorer, modules: set[str], *, noise: bool) -> StaticRestorer:
    """A view of ``graph`` with these of its modules, and with its baked noise or without."""
    view = copy.copy(graph)
    view._modules = {name: module for name, module in graph._modules.items() if name in modules}
    view._parameters = dict(graph._parameters) if noise else {"noise": None}
    return view
