"""What goes into a static graph and what comes out: names, shapes, types, value ranges. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elir_edge.errors import UsageError
from elir_edge.noise import NoiseContract
from elir_edge.spec import ModelSpec

IMAGE, NOISE, RESTORED = "image", "noise", "restored"
IO_KINDS = ("float", "uint8")
LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: ``shape`` in the order of ``layout``, ``dtype`` as NumPy names it, ``values`` in words."""

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
class GraphForm:
    """The form of a static graph: image size in pixels, noise contract, ``io`` float or uint8, ``layout``."""

    height: int
    width: int
    noise: NoiseContract
    io: str = "float"
    layout: str = "NCHW"

    def __post_init__(self) -> None:
        if self.io not in IO_KINDS:
            raise UsageError(f"io '{self.io}' is not one of {', '.join(IO_KINDS)}")
        if self.layout not in LAYOUTS:
            raise UsageError(f"layout '{self.layout}' is not one of {', '.join(LAYOUTS)}")

    def inputs(self, spec: ModelSpec) -> list[TensorSpec]:
        """The image, and the noise where the caller supplies it."""
        tensors = [self._image(IMAGE)]
        if self.noise.mode == "input" and spec.field is not None:
            shape = self.ordered(spec.latent_shape(self.height, self.width))
            tensors.append(TensorSpec(NOISE, shape, "float32", self.layout, "standard normal"))
        return tensors

    def outputs(self) -> list[TensorSpec]:
        """The restored image."""
        return [self._image(RESTORED)]

    def ordered(self, nchw: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """An N, C, H, W shape in the order of this form's layout."""
        n, c, h, w = nchw
        return (n, c, h, w) if self.layout == "NCHW" else (n, h, w, c)

    def _image(self, name: str) -> TensorSpec:
        shape = self.ordered((1, 3, self.height, self.width))
        if self.io == "uint8":
            return TensorSpec(name, shape, "uint8", self.layout, "RGB 0..255")
        return TensorSpec(name, shape, "float32", self.layout, "RGB 0..1")


def parse_size(size: int | str | tuple[int, int] | None, spec: ModelSpec) -> tuple[int, int]:
    """256, "256", "256x384" (height x width), (256, 384) or None for the spec's own -> (height, width).

    Raises UsageError for anything else and ConfigError for sizes that the network cannot take.
    """
    if isinstance(size, str):
        parts = size.lower().split("x")
        if len(parts) > 2 or not all(part.isdecimal() for part in parts):
            raise UsageError(f"size '{size}' is neither a number of pixels nor HEIGHTxWIDTH")
        size = (int(parts[0]), int(parts[-1]))
    if size is None:
        size = spec.size
    height, width = (size, size) if isinstance(size, int) else size
    spec.check_size(height, width)
    return height, width
