"""Inputs and outputs of a static graph: names, shapes, types, value ranges. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elir_edge.core.plain import whole_number
from elir_edge.errors import UsageError
from elir_edge.families.base import IMAGE, NOISE, RESTORED, Space
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.noise import NoiseContract

__all__ = ["IMAGE", "NOISE", "RESTORED", "GraphForm", "StageSpec", "TensorSpec", "parse_size"]

IO_KINDS = ("float", "uint8")
LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: ``shape`` in the order of ``layout``, NumPy's name of ``dtype``, ``values`` in words."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str
    values: str

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TensorSpec:
        """The inverse of ``dataclasses.asdict``."""
        return cls(data["name"], tuple(data["shape"]), data["dtype"], data["layout"], data["values"])


@dataclass(frozen=True)
class StageSpec:
    """A stage inside a graph, found by ``name``; its values are ``gain`` times those of the reference model."""

    name: str
    shape: tuple[int, ...]
    layout: str
    gain: float

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> StageSpec:
        """The inverse of ``dataclasses.asdict``."""
        return cls(data["name"], tuple(data["shape"]), data["layout"], float(data["gain"]))


@dataclass(frozen=True)
class GraphForm:
    """Form of a static graph: image size in pixels, source of the noise, ``io`` float or uint8.

    ``layout`` is that of the images, ``latent_layout`` that of the noise and the stages. Raises UsageError for an
    unknown ``io`` or layout.
    """

    height: int
    width: int
    noise: NoiseContract
    io: str = "float"
    layout: str = "NCHW"
    latent_layout: str = "NCHW"

    def __post_init__(self) -> None:
        if self.io not in IO_KINDS:
            raise UsageError(f"io '{self.io}' is not one of {', '.join(IO_KINDS)}", hint="give one of these with --io")
        for layout in (self.layout, self.latent_layout):
            if layout not in LAYOUTS:
                raise UsageError(f"layout '{layout}' is not one of {', '.join(LAYOUTS)}", hint="give one of these")

    def inputs(self, spec: ModelSpec) -> list[TensorSpec]:
        """The image, and the noise if it is an input."""
        tensors = [self._image(IMAGE)]
        if self.noise.mode == "input" and spec.takes_noise:
            tensors.append(TensorSpec(NOISE, self.stage_shape(spec), "float32", self.latent_layout, "standard normal"))
        return tensors

    def outputs(self) -> list[TensorSpec]:
        """The restored image."""
        return [self._image(RESTORED)]

    def stage_shape(self, spec: ModelSpec, space: Space = Space.LATENT) -> tuple[int, ...]:
        """Shape of the noise and of stages of kind ``space``, in the order of ``latent_layout``."""
        pixels = (1, 3, self.height, self.width)
        latent = spec.latent_shape(self.height, self.width)
        return _in_layout(pixels if space is Space.PIXELS else latent, self.latent_layout)

    def _image(self, name: str) -> TensorSpec:
        shape = _in_layout((1, 3, self.height, self.width), self.layout)
        if self.io == "uint8":
            return TensorSpec(name, shape, "uint8", self.layout, "RGB 0..255")
        return TensorSpec(name, shape, "float32", self.layout, "RGB 0..1")


def _in_layout(nchw: tuple[int, int, int, int], layout: str) -> tuple[int, ...]:
    n, c, h, w = nchw
    return (n, c, h, w) if layout == "NCHW" else (n, h, w, c)


def parse_size(size: int | str | tuple[int, int] | None, spec: ModelSpec) -> tuple[int, int]:
    """(height, width) for 256, "256", "256x384" (height x width), (256, 384), or None: the spec's own size.

    Raises UsageError for any other text, ConfigError for a size that the network cannot take.
    """
    if isinstance(size, str):
        sides = [whole_number(part) for part in size.lower().split("x")]
        first, last = sides[0], sides[-1]
        if len(sides) > 2 or first is None or last is None:
            raise UsageError(
                f"size '{size:.60}' is neither a number of pixels nor HEIGHTxWIDTH", hint="write 256 or 256x384"
            )
        size = (first, last)
    if size is None:
        size = spec.size
    height, width = (size, size) if isinstance(size, int) else size
    spec.check_size(height, width)
    return height, width
