"""Ablation: PSNR, SSIM and speed with fewer steps, without the estimator, without the field.

    python benchmarks/ablation.py --out benchmarks/results/nano_ablation.md

All rows use the same weights: steps are an inference-time choice, and a part that is left out is bypassed, not
replaced by one trained to do without it. Photographs, noise and sizes are those of ``elir-edge evaluate``.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from elir_edge.families.restorer import Restorer
from elir_edge.families.weights import load_restorer
from elir_edge.imaging.pixels import add_noise
from elir_edge.training.evaluate import (
    Quality,
    Restore,
    centre,
    evaluate,
    evaluation_photographs,
    restorer_function,
    to_picture,
)
from elir_edge.validation.reference import to_tensor

SIGMAS = (25.0, 50.0)
SPEED_SIDE = 256
STRENGTHS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
Pictures = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table: what was run, its mean quality at each noise level; GFLOP and FPS at 256 x 256."""

    name: str
    qualities: tuple[Quality, ...]
    gflop: float | None = None
    speed: float | None = None


@click.command()
@click.option("--preset", default="nano", show_default=True)
@click.option("--weights", default=None, help="Default: the preset's own.")
@click.option("--autoencoder", type=click.Path(path_type=Path), help="A run's autoencoder stage, for the bound.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(preset: str, weights: str | None, autoencoder: Path | None, threads: int, out: Path) -> None:
    """Measure, and write the tables as Markdown."""
    torch.set_num_threads(threads)
    model = load_restorer(preset, weights)
    pictures = {name: centre(image, model.spec.size_multiple) for name, image in evaluation_photographs().items()}
    compared = compare(model, autoencoder, pictures)
    ablated = ablate(model, pictures)
    out.write_text(report(model, compared, ablated, pictures, threads), encoding="utf-8")
    click.echo(str(out))


def variants(model: Restorer) -> list[tuple[str, Restorer]]:
    """The model with 1, 3 and 5 steps, each with and without its estimator, and the estimator alone."""
    found = []
    for estimator in (True, False):
        for steps in (1, 3, 5):
            name = f"K = {steps}" + ("" if estimator else ", estimator bypassed")
            found.append((name, variant(model, steps, estimator)))
    return [*found, ("estimator alone, field bypassed", variant(model, 0, True))]


def variant(model: Restorer, steps: int, estimator: bool) -> Restorer:
    """The same weights in a model that takes ``steps`` steps (0: none), with or without its estimator."""
    spec = dataclasses.replace(
        model.spec,
        steps=steps,
        field=model.spec.field if steps else None,
        estimator=model.spec.estimator if estimator else None,
    )
    changed = Restorer(spec).eval().requires_grad_(False)
    kept = {name: value for name, value in model.state_dict().items() if name in changed.state_dict()}
    changed.load_state_dict(kept)
    return changed


def ablate(model: Restorer, pictures: Pictures) -> list[Row]:
    """Quality over all pictures, arithmetic and speed of every variant."""
    names, models = zip(*variants(model), strict=True)
    speeds = frames_per_second(models)
    return [
        Row(name, qualities(restorer_function(variant), pictures), gflop(variant), speed)
        for name, variant, speed in zip(names, models, speeds, strict=True)
    ]


def compare(model: Restorer, autoencoder: Path | None, pictures: Pictures) -> list[Row]:
    """Rows for the degraded pictures, a classical denoiser that knows the noise level, the model, and the bound."""
    rows = [
        Row("input", qualities(lambda image: image, pictures)),
        Row("non-local means", best_non_local_means(pictures)),
        Row("restored", qualities(restorer_function(model), pictures)),
    ]
    if autoencoder is not None:
        rows.append(Row("autoencoder on the clean picture", bound(model, autoencoder, pictures)))
    return rows


def qualities(restore: Restore, pictures: Pictures) -> tuple[Quality, ...]:
    """Mean quality at each noise level."""
    return tuple(evaluate(pictures, _noise(sigma), restore).mean().restored for sigma in SIGMAS)


def best_non_local_means(pictures: Pictures) -> tuple[Quality, ...]:
    """scikit-image's, colour, patches of 5 within 6 pixels, sigma known; the best of several strengths."""
    found = []
    for sigma in SIGMAS:
        tried = [evaluate(pictures, _noise(sigma), _non_local_means(sigma, h)) for h in STRENGTHS]
        found.append(max((result.mean().restored for result in tried), key=lambda quality: quality.psnr))
    return tuple(found)


def bound(model: Restorer, autoencoder: Path, pictures: Pictures) -> tuple[Quality, ...]:
    """Quality of encoding and decoding the clean picture with the autoencoder before the flow was trained."""
    from safetensors.torch import load_file

    whole = Restorer(model.spec, expanded=True).eval().requires_grad_(False)
    whole.load_state_dict(load_file(autoencoder))

    def restore(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return to_picture(whole.dec(whole.enc(to_tensor(image))))

    clean = evaluate(pictures, lambda image, rng: image, restore).mean().restored
    return tuple(clean for _ in SIGMAS)


def gflop(model: Restorer) -> float:
    """Arithmetic of one 256 x 256 picture, multiply and add counted as 2."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, SPEED_SIDE, SPEED_SIDE))
    return counter.get_total_flops() / 1e9


def frames_per_second(models: Sequence[Restorer], repeats: int = 15) -> list[float]:
    """256 x 256 pictures a second, one at a time: PyTorch eager, float32, channels last; medians of ``repeats`` rounds.

    The models take turns, so that other load on the machine slows all of them.
    """
    image = torch.rand(1, 3, SPEED_SIDE, SPEED_SIDE).contiguous(memory_format=torch.channels_last)
    times: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for _ in range(repeats + 1):
            for model, taken in zip(models, times, strict=True):
                taken.append(_seconds(model.to(memory_format=torch.channels_last), image))  # type: ignore[call-overload]
    return [1.0 / statistics.median(taken[1:]) for taken in times]


def report(model: Restorer, compared: list[Row], ablated: list[Row], pictures: Pictures, threads: int) -> str:
    """Both tables as Markdown, with what is needed to read them."""
    sizes = ", ".join(f"{name} {image.shape[1]} x {image.shape[0]}" for name, image in pictures.items())
    head = " | ".join(f"sigma {sigma:g}: PSNR | SSIM" for sigma in SIGMAS)
    lines = [
        f"# {model.spec.name}: quality, and what each part is worth",
        "",
        f"Means over photographs held out from training ({sizes}),",
        "Gaussian noise clipped to 8 bit, seed 0.",
        "PSNR in dB; SSIM with a Gaussian window of 1.5 pixels, mean over channels.",
        "Non-local means (scikit-image, colour, fast mode, patch 5, distance 6) is told sigma, and has the best",
        f"for these pictures of the strengths {', '.join(map(str, STRENGTHS))} times sigma.",
        "",
        f"| | {head} |",
        "|---|" + "---|" * (2 * len(SIGMAS)),
        *(f"| {row.name} | {_cells(row)} |" for row in compared),
        "",
        "Parts. All rows use the same weights, trained with K = 3 and all parts: a part left out is bypassed, and no",
        "variant was trained for itself.",
        f"FPS: one 256 x 256 picture at a time, PyTorch {torch.__version__} eager, float32, channels last,",
        f"{threads} CPU threads, the rows taking turns, medians of 15 rounds; the machine did other work beside.",
        "",
        f"| | {head} | GFLOP at 256 x 256 | FPS |",
        "|---|" + "---|" * (2 * len(SIGMAS) + 2),
        *(f"| {row.name} | {_cells(row)} | {row.gflop:.1f} | {row.speed:.1f} |" for row in ablated),
        "",
        "Made by `python benchmarks/ablation.py`.",
        "",
    ]
    return "\n".join(lines)


def _cells(row: Row) -> str:
    return " | ".join(f"{quality.psnr:.2f} | {quality.ssim:.3f}" for quality in row.qualities)


def _noise(sigma: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    return lambda image, rng: add_noise(image, sigma, rng)


def _non_local_means(sigma: float, strength: float) -> Restore:
    from skimage.restoration import denoise_nl_means

    def restore(image: np.ndarray) -> np.ndarray:
        level = sigma / 255.0
        smooth = denoise_nl_means(image / 255.0, 5, 6, strength * level, sigma=level, fast_mode=True, channel_axis=2)
        return np.clip(np.rint(smooth * 255.0), 0, 255).astype(np.uint8)

    return restore


def _seconds(model: Restorer, image: torch.Tensor) -> float:
    start = time.perf_counter()
    model(image)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
