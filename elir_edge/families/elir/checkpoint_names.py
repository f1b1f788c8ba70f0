"""Tensor names of published ELIR weights -> names of the reference model.

Known are ELIR state dicts, Lightning checkpoints (the EMA dicts of their parts), and Tiny AutoEncoder files in the
naming of diffusers and in the original naming.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from elir_edge.errors import DataError
from elir_edge.families.tensor_names import PART, only_tensors, parts_of_training

PREFIXES = ("enc", "mmse", "fmir", "dec")
LIGHTNING_PARTS = tuple(f"{PART}{prefix}" for prefix in PREFIXES)
AUTOENCODER_PARTS = (f"{PART}enc", f"{PART}dec")
DIFFUSERS_PARTS = {"encoder.layers.": "enc.layers.", "decoder.layers.": "dec.layers."}

Tensors = dict[str, Tensor]


def canonical_names(tensors: Mapping[str, Any], where: str) -> Tensors:
    """``tensors`` under the names of the reference model. Raises DataError for a naming that is not known."""
    if any(key in tensors for key in LIGHTNING_PARTS):
        return _from_lightning(tensors, where)
    flat = only_tensors(tensors, where)
    if not flat:
        raise DataError(f"{where}: holds no tensors", hint="save the model's state_dict()")
    if all(re.match(r"\d+\.", name) for name in flat):
        return _from_original_autoencoder(flat, where)
    return {_from_diffusers(name): tensor for name, tensor in flat.items()}


def _from_lightning(content: Mapping[str, Any], where: str) -> Tensors:
    missing = [key for key in AUTOENCODER_PARTS if not isinstance(content.get(key), Mapping)]
    if missing:
        raise DataError(
            f"{where}: a training checkpoint without {', '.join(missing)}",
            hint=f"it needs {', '.join(LIGHTNING_PARTS)}, but for parts that the model lacks; "
            "or save the model's state_dict()",
        )
    return parts_of_training({key: content[key] for key in LIGHTNING_PARTS if key in content}, where)


def _from_original_autoencoder(tensors: Tensors, where: str) -> Tensors:
    """Layer 0 is a convolution in the encoder file and the clamp, without weights, in the decoder file."""
    if "0.weight" in tensors:
        return {f"enc.layers.{name}": tensor for name, tensor in tensors.items()}
    if "1.weight" in tensors:
        return {f"dec.layers.{_decrement(name)}": tensor for name, tensor in tensors.items()}
    raise DataError(
        f"{where}: numbered layers, but neither those of an encoder nor of a decoder",
        hint="take the encoder's or the decoder's file of a Tiny AutoEncoder as published",
    )


def _decrement(name: str) -> str:
    number, rest = name.split(".", 1)
    return f"{int(number) - 1}.{rest}"


def _from_diffusers(name: str) -> str:
    for theirs, ours in DIFFUSERS_PARTS.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
