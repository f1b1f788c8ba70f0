"""The names that checkpoints give their tensors, and what is taken of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from elir_edge.errors import DataError
from elir_edge.families.base import Family

PART = "state_dict_"
AVERAGE = "state_dict_ema"  # the average of a whole model, where there are none of its parts
WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name

Tensors = dict[str, Tensor]


def under_model_names(content: Mapping[str, Any], family: Family, where: str) -> Tensors:
    """The tensors of a checkpoint's ``content`` under the names of the family's models.

    What wraps a whole model, ``module.`` and ``_orig_mod.``, is no part of its names. Raises DataError, which names
    ``where``, for an unknown naming.
    """
    if [key for key, values in content.items() if is_part(key, values)] == [AVERAGE]:
        return family.canonical_names(_unwrap(content[AVERAGE]), f"{where} ({AVERAGE})")
    return family.canonical_names(_unwrap(content), where)


def _unwrap(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """``content`` without the wrappers that all of its names begin with."""
    for wrapper in WRAPPERS * 2:
        if content and all(str(name).startswith(wrapper) for name in content):
            content = {str(name).removeprefix(wrapper): value for name, value in content.items()}
    return content


def parts_of_training(content: Mapping[str, Any], where: str) -> Tensors:
    """The averages of a training checkpoint, ``state_dict_PART`` by part, under the names of the model."""
    return {
        f"{key.removeprefix(PART)}.{name}": tensor
        for key, values in content.items()
        if is_part(key, values)
        for name, tensor in only_tensors(_unwrap(values), f"{where} ({key})").items()
    }


def is_part(key: Any, values: Any) -> bool:
    """Whether an entry of a checkpoint has the averages of a part."""
    return isinstance(key, str) and key.startswith(PART) and isinstance(values, Mapping)


def only_tensors(content: Mapping[str, Any], where: str) -> Tensors:
    """``content`` with names as str. Raises DataError where a value is not a plain tensor."""
    others = [str(key) for key, value in content.items() if not _is_plain(value)]
    if others:
        dicts = [key for key in others if _has_tensors(content.get(key))]
        alone = f"; torch.save(checkpoint['{dicts[0]}'], FILE) takes one out of this file" if dicts else ""
        raise DataError(
            f"{where}: not a plain dict of tensors: {', '.join(others[:8])}",
            hint=f"save model.state_dict(), or a training checkpoint with {PART}PART for each part{alone}",
        )
    return {str(key): value for key, value in content.items()}


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0 and all(map(_is_plain, value.values()))


def _is_plain(value: Any) -> bool:
    """Whether ``value`` is a dense, real, unquantized tensor with data."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )
