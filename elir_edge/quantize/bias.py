"""Bias correction that holds on pictures other than its own: shared by the formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

SAMPLES = 8

Feeds = Sequence[Mapping[str, np.ndarray]]


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
