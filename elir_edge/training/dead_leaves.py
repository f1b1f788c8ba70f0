"""Dead leaves: synthetic pictures of occluding shapes whose statistics are close to those of photographs.

The model is Matheron's. Lee, Mumford and Huang, "Occlusion models for natural images" (IJCV 41, 2001): natural images
follow it, with a density of sizes that falls with a power of about 3. Achddou, Gousseau and Ladjal, "Synthetic images
as a regularity prior for image restoration neural networks" (SSVM 2021): networks trained on it work on photographs.
Textures, shading and fills from photographs are additions of this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

TEXTURE_SIDE = 256


@dataclass(frozen=True)
class LeafSpec:
    """Number of shapes, and range of their radii in pixels; the density is proportional to radius^-exponent."""

    count: int = 500
    smallest: float = 1.5
    largest: float = 120.0
    exponent: float = 2.8


@dataclass(frozen=True)
class Fills:
    """Fills of shapes: ``textures`` H x W of mean 0 and variance 1, ``photographs`` uint8 H x W x 3."""

    textures: tuple[np.ndarray, ...]
    photographs: tuple[np.ndarray, ...] = ()


def power_noise(rng: Generator, side: int, exponent: float) -> np.ndarray:
    """Noise with amplitude proportional to frequency^-exponent: side x side, float32, mean 0, deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) * frequency**-exponent
    noise = np.fft.irfft2(spectrum, s=(side, side))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def texture_bank(rng: Generator, count: int = 48) -> tuple[np.ndarray, ...]:
    """``count`` textures of ``power_noise`` with exponents between 0.7 and 2.2."""
    return tuple(power_noise(rng, TEXTURE_SIDE, rng.uniform(0.7, 2.2)) for _ in range(count))


def draw_radius(rng: Generator, spec: LeafSpec) -> float:
    """A radius in pixels from the power law of ``spec``, by inversion of its distribution function."""
    power = 1.0 - spec.exponent
    low, high = spec.smallest**power, spec.largest**power
    return float((low + rng.uniform() * (high - low)) ** (1.0 / power))


def dead_leaves(rng: Generator, side: int, fills: Fills, spec: LeafSpec | None = None) -> np.ndarray:
    """One picture, uint8 side x side x 3: shapes on top of each other, each with colour, texture and shading."""
    spec = spec or draw_spec(rng, side)
    palette = draw_palette(rng)
    everywhere = np.zeros(2, np.float32)
    canvas = fill_patch(rng, fills, palette, *_grid(0, side, 0, side, everywhere), radius=side / 2)
    for _ in range(spec.count):
        _place_leaf(rng, canvas, fills, palette, draw_radius(rng, spec))
    canvas *= _light(rng, side)[:, :, None]
    return (np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def draw_spec(rng: Generator, side: int) -> LeafSpec:
    """A random LeafSpec: from few large shapes to many small ones."""
    return LeafSpec(
        count=int(np.exp(rng.uniform(np.log(100), np.log(1500)))),
        smallest=rng.uniform(1.0, 8.0),
        largest=side * rng.uniform(0.2, 0.6),
        exponent=rng.uniform(1.6, 3.0),
    )


def draw_palette(rng: Generator) -> np.ndarray:
    """24 x 3 colours in [0, 1]: a random grey level for each, and chroma of one random strength for all."""
    level = rng.beta(1.1, 1.3, (24, 1)) * rng.uniform(0.6, 1.0) + rng.uniform(0.0, 0.1)
    chroma = rng.normal(0.0, rng.choice([0.02, 0.06, 0.1, 0.2]), (24, 3)) + rng.normal(0.0, 0.06, (1, 3))
    return np.clip(level * (1.0 + chroma) + 0.5 * level * chroma, 0.0, 1.0).astype(np.float32)


def fill_patch(
    rng: Generator, fills: Fills, palette: np.ndarray, y: np.ndarray, x: np.ndarray, radius: float
) -> np.ndarray:
    """Fill of one shape, h x w x 3: a colour with gradient, texture or stripes, or a patch of a photograph."""
    height, width = y.shape[0], x.shape[1]
    kind = rng.uniform()
    if fills.photographs and kind < 0.2:
        return _photograph_patch(rng, fills.photographs, height, width)
    colour = palette[rng.integers(len(palette))]
    patch = np.broadcast_to(colour, (height, width, 3)).astype(np.float32)
    if kind < 0.65:
        other = palette[rng.integers(len(palette))]
        angle = rng.uniform(0.0, 2.0 * np.pi)
        ramp = (np.cos(angle) * x + np.sin(angle) * y) / (2.0 * radius) * rng.uniform(0.0, 0.6)
        patch = patch + ramp[:, :, None] * (other - colour)
    if kind > 0.45:
        detail = _stripes(rng, y, x) if kind > 0.93 else _texture(rng, fills.textures, height, width)
        tint = 1.0 + rng.normal(0.0, 0.3, 3).astype(np.float32)
        patch = patch + detail[:, :, None] * tint * np.float32(np.exp(rng.uniform(np.log(0.01), np.log(0.15))))
    return patch


def _place_leaf(rng: Generator, canvas: np.ndarray, fills: Fills, palette: np.ndarray, radius: float) -> None:
    side = canvas.shape[0]
    centre = rng.uniform(-0.1 * side, 1.1 * side, 2).astype(np.float32)
    reach = 1.6 * radius + 2.0
    top, left = (max(0, int(c - reach)) for c in centre)
    bottom, right = (min(side, int(c + reach) + 1) for c in centre)
    if top >= bottom or left >= right:
        return
    y, x = _grid(top, bottom, left, right, centre)
    alpha = _alpha(rng, y, x, radius)
    patch = fill_patch(rng, fills, palette, y, x, radius)
    if rng.uniform() < 0.4:
        angle, strength = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.0, 0.5)
        shade = 1.0 + strength * (np.cos(angle) * x + np.sin(angle) * y) / (1.5 * radius)
        patch = patch * shade[:, :, None]
    region = canvas[top:bottom, left:right]
    region += alpha[:, :, None] * (patch - region)


def _grid(top: int, bottom: int, left: int, right: int, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - centre[0]
    x = np.arange(left, right, dtype=np.float32)[None, :] - centre[1]
    return y, x


def _alpha(rng: Generator, y: np.ndarray, x: np.ndarray, radius: float) -> np.ndarray:
    """Coverage in [0, 1] of a shape at the origin; the edge is about one pixel wide, in 15 % of the shapes wider."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    squeeze = np.float32(np.exp(rng.uniform(np.log(0.08), 0.0))) if rng.uniform() < 0.6 else np.float32(1.0)
    u = np.cos(angle) * x + np.sin(angle) * y
    v = (np.cos(angle) * y - np.sin(angle) * x) / squeeze
    distance = _distance(rng, u, v, radius) * squeeze
    softness = rng.uniform(0.7, 1.3) if rng.uniform() < 0.85 else rng.uniform(1.3, 5.0)
    return np.clip(0.5 - distance / np.float32(softness), 0.0, 1.0)


def _distance(rng: Generator, u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    """Approximate signed distance in pixels to the border of a disc, box, polygon or blob; negative inside."""
    kind = rng.integers(4)
    if kind == 0:
        return np.hypot(u, v) - np.float32(radius)
    if kind == 1:
        return np.maximum(np.abs(u), np.abs(v)) - np.float32(radius * 0.9)
    if kind == 2:
        corners = np.sort(rng.uniform(0.0, 2.0 * np.pi, rng.integers(3, 8)))
        planes = [np.cos(a) * u + np.sin(a) * v - np.float32(radius * rng.uniform(0.4, 1.0)) for a in corners]
        return np.maximum(np.maximum.reduce(planes), np.hypot(u, v) - np.float32(1.4 * radius))
    theta = np.arctan2(v, u)
    waves = sum(
        rng.uniform(0.0, 0.35) / n * np.cos(np.float32(n) * theta + np.float32(rng.uniform(0.0, 2 * np.pi)))
        for n in range(2, 7)
    )
    return np.hypot(u, v) - np.float32(radius) * (1.0 + waves)


def _texture(rng: Generator, textures: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    texture = textures[int(rng.integers(len(textures)))]
    return _wrap_patch(rng, texture, height, width)


def _photograph_patch(rng: Generator, photographs: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    picture = photographs[int(rng.integers(len(photographs)))]
    patch = _wrap_patch(rng, picture, height, width).astype(np.float32) / 255.0
    gain = rng.uniform(0.6, 1.3) * (1.0 + rng.normal(0.0, 0.1, 3))
    return patch[:, :, rng.permutation(3)] * gain.astype(np.float32)


def _wrap_patch(rng: Generator, source: np.ndarray, height: int, width: int) -> np.ndarray:
    """A random patch of ``source``, continued periodically."""
    rows = (np.arange(height) + rng.integers(source.shape[0])) % source.shape[0]
    columns = (np.arange(width) + rng.integers(source.shape[1])) % source.shape[1]
    return source[rows[:, None], columns[None, :]]


def _stripes(rng: Generator, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0.0, np.pi)
    period = np.exp(rng.uniform(np.log(2.5), np.log(30.0)))
    wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * np.float32(2.0 * np.pi / period))
    return np.sign(wave) * np.abs(wave) ** np.float32(rng.uniform(0.2, 1.0))


def _light(rng: Generator, side: int) -> np.ndarray:
    """A linear change of brightness over the picture, side x side, around 1."""
    angle, strength = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.0, 0.3)
    ramp = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    return 1.0 + np.float32(strength) * (np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None])
