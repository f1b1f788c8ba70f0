"""The static graph: every step unrolled, every size known. Rewrites work on this module, and it runs at any point."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from elir_edge.artifacts.signature import GraphForm
from elir_edge.errors import UsageError
from elir_edge.families.elir.autoencoder import Decoder, Encoder
from elir_edge.families.elir.estimator import Estimator
from elir_edge.families.elir.field import Field
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.noise import draw_noise
from elir_edge.lowering.sharing import unique_tensors

BYTE_RANGE = 255.0


class StaticRestorer(nn.Module):
    """Image (and noise, where the form has it as an input) -> restored image, in the form's layout and value range.

    ``steps`` are K fields that share their Parameters; ``times`` their t. ``step_size`` is what a step's output is
    still to be multiplied by, ``latent_gain`` what the latent stream carries relative to the reference model's, and
    ``pixel_gain`` likewise for the images inside: rewrites change these as they fold them into weights.
    """

    def __init__(
        self,
        spec: ModelSpec,
        form: GraphForm,
        enc: Encoder,
        mmse: Estimator | None,
        steps: list[Field],
        dec: Decoder,
    ) -> None:
        super().__init__()
        self.spec, self.form = spec, form
        self.enc, self.mmse, self.dec = enc, mmse, dec
        self.steps = nn.ModuleList(steps)
        self.times = tuple(k / len(steps) for k in range(len(steps)))
        self.step_size = 1 / len(steps) if steps else 1.0
        self.latent_gain = 1.0
        self.pixel_gain = 1.0
        self.noise_gain = spec.sigma_s
        self.noise: nn.Parameter | None = None
        if form.noise.mode == "baked" and steps:
            shape = spec.latent_shape(form.height, form.width)
            noise = torch.from_numpy(draw_noise(form.noise.seed or 0, shape)).to(dec.first_conv.weight)
            self.noise = nn.Parameter(noise, requires_grad=False)

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """The restored image, of the shape and type of ``image``. Raises nothing of its own: sizes are fixed."""
        return self.stages(image, noise)["restored"]

    def stages(self, image: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Named stages: encoded, coarse, state_0 .. state_K, restored.

        Latents are in the form's latent layout and times ``latent_gain``.
        """
        latents, decoded = self.values(image, noise)
        layout = self.form.latent_layout
        stages = {name: _to_layout(latent, layout) for name, latent in latents.items()}
        return stages | {"restored": self._give_image(decoded)}

    def values(self, image: Tensor, noise: Tensor | None = None) -> tuple[dict[str, Tensor], Tensor]:
        """Latents by stage, and what the decoder gives, times ``pixel_gain``, before it is clipped: all NCHW."""
        latents = {"encoded": self.enc(self._take_image(image))}
        z = latents["coarse"] = self.mmse(latents["encoded"]) if self.mmse is not None else latents["encoded"]
        for k, step in enumerate(self.fields()):
            z = latents.setdefault("state_0", self._add_noise(z, noise)) if k == 0 else z
            z = latents[f"state_{k + 1}"] = self._euler(step, z, k)
        return latents, self.dec(z)

    def fields(self) -> list[Field]:
        """The steps' fields in order."""
        return [cast(Field, step) for step in self.steps]

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Zeros of the right shapes and types, to trace with."""
        device = self.dec.first_conv.weight.device
        dtypes = {"uint8": torch.uint8, "float32": self.dec.first_conv.weight.dtype}
        return tuple(
            torch.zeros(tensor.shape, dtype=dtypes[tensor.dtype], device=device)
            for tensor in self.form.inputs(self.spec)
        )

    def parameter_count(self) -> int:
        """Numbers stored, each shared tensor counted once."""
        return sum(tensor.numel() for tensor in unique_tensors(self))

    def _euler(self, step: Field, z: Tensor, k: int) -> Tensor:
        if step.time_mlp is None:
            velocity = step(z)
        else:
            velocity = step(z, torch.full((z.shape[0],), self.times[k], dtype=z.dtype, device=z.device))
        return z + (velocity if self.step_size == 1.0 else velocity * self.step_size)

    def _add_noise(self, coarse: Tensor, noise: Tensor | None) -> Tensor:
        if self.form.noise.mode == "zero":
            return coarse
        given = self.noise if noise is None else _to_nchw(noise, self.form.latent_layout)
        if given is None:
            raise UsageError("this graph takes the noise as a second input")
        return coarse + (given if self.noise_gain == 1.0 else given * self.noise_gain)

    def _take_image(self, image: Tensor) -> Tensor:
        if self.form.io == "uint8":
            image = image.to(self.dec.first_conv.weight.dtype)
            image = image if self.pixel_gain == BYTE_RANGE else image * (1 / BYTE_RANGE)
        return _to_nchw(image, self.form.layout)

    def _give_image(self, decoded: Tensor) -> Tensor:
        if self.form.io == "float":
            return _to_layout(decoded.clamp(0.0, 1.0), self.form.layout)
        decoded = decoded if self.pixel_gain == BYTE_RANGE else decoded * BYTE_RANGE
        return _to_layout(decoded, self.form.layout).clamp(0.0, BYTE_RANGE).round().to(torch.uint8)


def _to_nchw(tensor: Tensor, layout: str) -> Tensor:
    return tensor.permute(0, 3, 1, 2) if layout == "NHWC" else tensor


def _to_layout(tensor: Tensor, layout: str) -> Tensor:
    return tensor.permute(0, 2, 3, 1) if layout == "NHWC" else tensor
