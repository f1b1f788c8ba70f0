"""What the number of Euler steps does to quality: one trained model beside its own posterior mean and another model.

python -m benchmarks.flow_steps FOLDER [--beside nano] [--side 384]    -> benchmarks/results/flow_steps.md

FOLDER has the pictures of the set kodak24. The estimator and the encoder run once for each picture, for all K.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path

import click
import numpy as np
import torch

from elir_edge.bench.machine import describe_machine
from elir_edge.cli.shared import Shown
from elir_edge.families.restorer import Restorer
from elir_edge.families.weights import load_restorer
from elir_edge.imaging.noise import draw_noise
from elir_edge.training.conditions import gaussian
from elir_edge.training.evaluate import centre, restore_any
from elir_edge.training.judge import Method, judge_methods, load_set, table_of
from elir_edge.validation.reference import picture_of, to_tensor

RESULTS = Path(__file__).parent / "results"


def flow_methods(model: Restorer, counts: tuple[int, ...]) -> dict[str, Method]:
    """The posterior mean, and the results of K steps for each K of ``counts``, by name."""

    @lru_cache(maxsize=1)
    def begin(data: bytes, shape: tuple[int, ...]) -> dict[str, torch.Tensor]:
        image = to_tensor(np.frombuffer(data, np.uint8).reshape(shape))
        estimate = model.estimator(image).clamp(0.0, 1.0)
        return {"estimate": estimate, "encoded": model.encoder(estimate)}

    def restore(degraded: np.ndarray, steps: int) -> np.ndarray:
        with torch.inference_mode():
            found = begin(degraded.tobytes(), degraded.shape)
            if steps == 0:
                return _picture(found["estimate"])
            model.spec = dataclasses.replace(model.spec, steps=steps)
            z = model.add_noise(found["encoded"], torch.from_numpy(draw_noise(0, tuple(found["encoded"].shape))))
            for k in range(steps):
                z = model.euler_step(k, z)
            return _picture(model.decoder(z).clamp(0.0, 1.0))

    named: dict[str, Method] = {"posterior mean": lambda image, sigma: restore(image, 0)}
    return named | {f"K = {k}": lambda image, sigma, k=k: restore(image, k) for k in counts}


def _picture(image: torch.Tensor) -> np.ndarray:
    return picture_of(image, "float") * 255


def _bound(model: Restorer) -> Method:
    def reconstruct(image: np.ndarray, sigma: float) -> np.ndarray:
        with torch.inference_mode():
            found = model.spec.family.reconstruct(model, to_tensor(image))
        assert found is not None
        return _picture(found)

    return reconstruct


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--preset", default="latent-pmrf-nano", show_default=True)
@click.option("--weights", default=None, help="Default: the preset's own.")
@click.option("--beside", default="nano", show_default=True)
@click.option("--side", type=int, default=None, help="Judge the centres of so many pixels. Default: whole pictures.")
@click.option("--sigma", "sigmas", type=float, multiple=True, default=(25.0, 50.0), show_default=True)
@click.option("--steps", "counts", type=int, multiple=True, default=(1, 2, 3, 5, 10), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(
    folder: Path,
    preset: str,
    weights: str | None,
    beside: str,
    side: int | None,
    sigmas: tuple[float, ...],
    counts: tuple[int, ...],
    out: Path,
) -> None:
    """Judge PRESET with several K on Kodak24."""
    model, other = load_restorer(preset, weights), load_restorer(beside)
    multiple = model.spec.size_multiple
    pictures = {name: centre(picture, multiple, side) for name, picture in load_set("kodak24", folder).items()}
    ours = flow_methods(model, counts)
    methods = {beside: lambda image, sigma: restore_any(other, image), **ours}
    verdicts = judge_methods(pictures, [gaussian(sigma) for sigma in sigmas], methods, Shown())
    bound = judge_methods(pictures, [gaussian(0)], {"autoencoder alone": _bound(model)}, Shown())
    extent = "whole" if side is None else f"centres of {side} x {side} pixels"
    text = [
        f"# {preset}: quality and the number of steps",
        "",
        f"Kodak24, {extent}; noise clipped to 8 bits; PSNR in dB / SSIM, means over {len(pictures)} pictures.",
        "",
        table_of(verdicts),
        "What the autoencoder alone makes of the clean pictures:",
        "",
        table_of(bound),
        describe_machine(),
        "",
    ]
    out.mkdir(parents=True, exist_ok=True)
    (out / "flow_steps.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
