"""``config.json`` beside an autoencoder's weights, in the layout of diffusers. Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from elir_edge.errors import ConfigError
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec

CHANNELS, SHIFT, SCALE = "latent_channels", "shift_factor", "scaling_factor"
WIDTHS = "block_out_channels"


def with_config(spec: LatentPmrfSpec, config: Mapping[str, Any], where: str) -> LatentPmrfSpec:
    """``spec`` with the shift and scale that ``config`` states; those that it does not state stay.

    Raises ConfigError, with ``where``, for a value that is no finite number, and where channels or widths differ from
    those of ``spec``.
    """
    autoencoder = spec.autoencoder
    _require_equal(config.get(CHANNELS), autoencoder.latent_channels, CHANNELS, where)
    _require_equal(config.get(WIDTHS), list(autoencoder.widths), WIDTHS, where)
    shift = _number(config.get(SHIFT), autoencoder.shift, SHIFT, where)
    scale = _number(config.get(SCALE), autoencoder.scale, SCALE, where)
    return dataclasses.replace(spec, autoencoder=dataclasses.replace(autoencoder, shift=shift, scale=scale))


def _require_equal(stated: Any, expected: Any, key: str, where: str) -> None:
    if stated is not None and stated != expected:
        raise ConfigError(
            f"{where}: {key} is {stated!r:.100}, the model has {expected}", hint="use a preset of those channels"
        )


def _number(stated: Any, otherwise: float, key: str, where: str) -> float:
    if stated is None:
        return otherwise
    if type(stated) not in (int, float):
        raise ConfigError(f"{where}: {key} is {stated!r:.100}, not a number", hint="write a number")
    try:
        return float(stated)
    except OverflowError as error:  # JSON has whole numbers of any length
        raise ConfigError(f"{where}: {key} is beyond all numbers", hint="write a smaller number") from error
