"""Biases of int8 graphs, shared by the formats: room for them, and correction that holds on other pictures too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

SAMPLES = 8
LARGEST = 2**30  # half of int32: the other half is for the sum of products

Feeds = Sequence[Mapping[str, np.ndarray]]


def least_scales(bias: np.ndarray, ends: tuple[float, float], steps: int = 255) -> np.ndarray:
    """The smallest scale of each channel's weights that ``bias`` allows, float64: one number a channel, as ``bias``.

    A bias is stored as int32 in units of the scale of the input times that of the weights. ``ends``: range of the
    input, in ``steps`` steps. Weights far below this scale change the output by less than 1/10000 of the bias.
    """
    low, high = min(ends[0], 0.0), max(ends[1], 0.0)
    return np.abs(bias.astype(np.float64)) / (LARGEST * ((high - low) / steps or 1.0))


def channel_means(values: np.ndarray) -> np.ndarray:
    """Mean of each channel of an array N x C x ..., float64."""
    return values.mean((0, *range(2, values.ndim)), dtype=np.float64)


def along_channels(shift: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``shift``, one number a channel, in a shape that adds to ``values``, N x C x ..."""
    return shift.reshape(-1, *[1] * (values.ndim - 2))


def numbers_of_samples(count: int) -> list[int]:
    """Numbers of at most 8 of ``count`` samples, evenly spread: means need fewer samples than ranges."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, SAMPLES)).round()})


def bias_samples(feeds: Feeds, means: Mapping[str, np.ndarray]) -> tuple[Feeds, dict[str, np.ndarray]]:
    """Those of ``feeds`` that biases are corrected with, and their rows of ``means``, samples x channels by tensor."""
    chosen = numbers_of_samples(len(feeds))
    return [feeds[i] for i in chosen], {name: rows[chosen] for name, rows in means.items()}


def shift_that_holds(differences: np.ndarray) -> np.ndarray:
    """The shift of each channel that is to be added to a bias, from ``differences``, samples x channels.

    Each difference is a channel's mean over one sample in the float graph minus that in the integer graph. The shift is
    the mean of the differences, or 0 where it does not hold: where the mean over the other samples does not bring a
    sample that was left out nearer, in squared error over all samples.
    """
    count = len(differences)
    mean = differences.mean(0)
    if count < 2:
        return mean
    others = (count * mean - differences) / (count - 1)
    holds = np.square(differences - others).sum(0) < np.square(differences).sum(0)
    return np.where(holds, mean, 0.0)
