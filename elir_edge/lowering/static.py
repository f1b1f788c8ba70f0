"""The static graph: steps unrolled, sizes fixed. It runs in PyTorch before and after every rewrite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elir_edge.artifacts.signature import GraphForm, StageSpec, TensorSpec
from elir_edge.errors import UsageError
from elir_edge.families.base import BYTE_RANGE, IMAGE, RESTORED, Space, Stage, Walk, output_stages, walk
from elir_edge.families.networks.euler import euler_step
from elir_edge.families.rewrites.sharing import unique_tensors
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.noise import draw_noise


class StaticRestorer(nn.Module):
    """Image, and noise if the form has it as an input -> restored image, in the form's layout and value range.

    The family's parts are attributes, except the field: ``steps`` are K copies of it that share their parameters, and
    ``times`` their t. Factors that rewrites fold into weights: ``step_divisor`` divides the output of a step,
    ``latent_gain`` is the scale of latents relative to the reference model, ``pixel_gain`` that of images inside,
    ``noise_gain`` multiplies the noise.
    """

    def __init__(
        self, spec: ModelSpec, form: GraphForm, parts: Mapping[str, nn.Module | None], steps: list[nn.Module]
    ) -> None:
        super().__init__()
        self.spec, self.form = spec, form
        for name, part in parts.items():
            self.register_module(name, part)
        self.steps = nn.ModuleList(steps)
        self.times = tuple(k / len(steps) for k in range(len(steps)))
        self.step_divisor = float(len(steps)) if steps else 1.0
        self.latent_gain = 1.0
        self.pixel_gain = 1.0
        self.noise_gain = spec.sigma_s
        self.noise: nn.Parameter | None = None
        if form.noise.mode == "baked" and spec.takes_noise:
            shape = spec.latent_shape(form.height, form.width)
            noise = torch.from_numpy(draw_noise(form.noise.seed or 0, shape)).to(self._weight())
            self.noise = nn.Parameter(noise, requires_grad=False)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # the family's parts

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """The restored image, of the shape and type of ``image``; ``noise`` is standard normal."""
        return self.stages(image, noise)[RESTORED]

    def stages(self, image: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """All stages by name: the restored image as in ``forward``, others in the latent layout, times their gain."""
        values, decoded = self.values(image, noise)
        layout = self.form.latent_layout
        stages = {name: to_layout(value, layout) for name, value in values.items()}
        return stages | {RESTORED: self.output_image(decoded)}

    def values(self, image: Tensor, noise: Tensor | None = None) -> tuple[dict[str, Tensor], Tensor]:
        """(stages by name, restored image times ``pixel_gain`` before the clip), all NCHW."""
        given = None if noise is None else to_nchw(noise, self.form.latent_layout)
        values = walk(self.stage_list(), Walk(self, {IMAGE: self.input_image(image)}, given))
        return {name: value for name, value in values.items() if name not in (IMAGE, RESTORED)}, values[RESTORED]

    def stage_list(self) -> tuple[Stage, ...]:
        """The family's stages for a graph of this form."""
        return self.spec.family.stages(self.spec, self.spec.takes_noise and self.form.noise.mode != "zero")

    def inputs(self) -> list[TensorSpec]:
        """The image, and the noise if it is an input."""
        return self.form.inputs(self.spec)

    def module_to_convert(self) -> StagedRestorer:
        """The module to convert, whose output is a dict of all stages."""
        return StagedRestorer(self)

    def output_names(self) -> list[str]:
        """Names of the stages that are tensors of their own, in the order of execution, ``restored`` last."""
        return [stage.name for stage in output_stages(self.stage_list())]

    def stage_specs(self) -> tuple[StageSpec, ...]:
        """The stages before the restored image, for the manifest."""
        return tuple(
            StageSpec(stage.name, self.form.stage_shape(self.spec, stage.space), self.form.latent_layout, gain)
            for stage in output_stages(self.stage_list())
            if stage.name != RESTORED
            for gain in [self.pixel_gain if stage.space is Space.PIXELS else self.latent_gain]
        )

    def euler_step(self, k: int, z: Tensor) -> Tensor:
        """z_{k+1} from z_k, N x C x h x w."""
        step: Any = self.steps[k]
        return euler_step(step, z, self.times[k] if step.takes_time else None, self.step_divisor)

    def add_noise(self, z: Tensor, noise: Tensor | None) -> Tensor:
        """``z`` plus ``noise``, or plus the baked noise if that is None. Raises UsageError if there is neither."""
        given = self.noise if noise is None else noise
        if given is None:
            raise UsageError(
                "this graph takes the noise as a second input", hint="give it, or lower the model with noise baked:SEED"
            )
        return z + (given if self.noise_gain == 1.0 else given * self.noise_gain)

    def fields(self) -> list[Any]:
        """The copies of the field in the order of the steps."""
        return list(self.steps)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Zeros of the inputs' shapes and types, for tracing."""
        weight = self._weight()
        dtypes = {"uint8": torch.uint8, "float32": weight.dtype}
        return tuple(
            torch.zeros(tensor.shape, dtype=dtypes[tensor.dtype], device=weight.device) for tensor in self.inputs()
        )

    def parameter_count(self) -> int:
        """Number of stored values; shared tensors count once."""
        return sum(tensor.numel() for tensor in unique_tensors(self))

    def _weight(self) -> Tensor:
        """Any weight: all have the same type and device. A model that only moves pixels has none: 0, float32."""
        return next((part for name, part in self.named_parameters() if name != "noise"), torch.zeros(()))

    def input_image(self, image: Tensor) -> Tensor:
        """``image`` of the form -> N x 3 x H x W times ``pixel_gain``."""
        if self.form.io == "uint8":
            image = image.to(self._weight().dtype)
            image = image if self.pixel_gain == BYTE_RANGE else image * (1 / BYTE_RANGE)
        return to_nchw(image, self.form.layout)

    def output_image(self, decoded: Tensor) -> Tensor:
        """The decoder's N x 3 x H x W times ``pixel_gain`` -> the restored image in the form's layout and type."""
        if self.form.io == "float":
            return to_layout(decoded.clamp(0.0, 1.0), self.form.layout)
        decoded = decoded if self.pixel_gain == BYTE_RANGE else decoded * BYTE_RANGE
        return to_layout(decoded, self.form.layout).clamp(0.0, BYTE_RANGE).round().to(torch.uint8)


class StagedRestorer(nn.Module):
    """A static graph for converters: its output is a dict of all stages, so that their tensors get these names.

    The exporter removes all outputs but ``restored`` afterwards; the stages stay findable in the exported file.
    """

    def __init__(self, graph: StaticRestorer) -> None:
        super().__init__()
        self.static = graph

    def forward(self, image: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Stages by name, ``restored`` last."""
        stages = self.static.stages(image, noise)
        return {name: stages[name] for name in self.static.output_names()}


def to_nchw(tensor: Tensor, layout: str) -> Tensor:
    """``tensor`` of ``layout`` as NCHW."""
    return tensor.permute(0, 3, 1, 2) if layout == "NHWC" else tensor


def to_layout(tensor: Tensor, layout: str) -> Tensor:
    """``tensor``, NCHW, in ``layout``."""
    return tensor.permute(0, 2, 3, 1) if layout == "NHWC" else tensor
