"""Loading models: weights from files, URLs, published or packaged names, or random stand-ins."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elir_edge.core.download import download
from elir_edge.core.files import sha256_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import ConfigError, DataError, UsageError, did_you_mean
from elir_edge.families.base import Family
from elir_edge.families.checkpoint import load_into, read_checkpoint
from elir_edge.families.hub import CONFIG, SCHEME, config_in, fetch_from_hub, weights_in
from elir_edge.families.registry import family_names, get_family
from elir_edge.families.restorer import Restorer, WeightSource
from elir_edge.families.rewrites.collapse import collapse
from elir_edge.families.spec import ModelSpec, load_spec, packaged_file


@dataclass(frozen=True)
class _Located:
    """A file of weights on disk, a ``name`` for it without folders of this machine, and the ``kind`` of its source.

    ``config`` is what the ``config.json`` of a folder of weights states.
    """

    path: Path
    name: str
    kind: str
    config: Mapping[str, Any] | None = None


Weights = str | Path | Sequence[str | Path] | Mapping[str, Any] | None


def load_restorer(
    spec: ModelSpec | str | Path = "nano", weights: Weights = None, progress: Progress | None = None
) -> Restorer:
    """A model with weights, in eval mode, linear blocks collapsed, without gradients.

    Args:
        spec: a ModelSpec, the name of a preset or the path of a YAML file.
        weights: path or URL of a checkpoint, several paths (an autoencoder's two files), a folder with one file of
            weights and its ``config.json``, such a folder on the Hugging Face hub (``hf:OWNER/REPOSITORY[/FOLDER]``), a
            mapping of tensors or arrays, ``elir:TASK`` (published), ``packaged:NAME`` (in the package), ``random:SEED``
            (stand-ins: the restored pictures mean nothing); None for the spec's own.
        progress: gets the progress of downloads.

    Raises:
        ConfigError: an invalid spec, or no weights known for it. MissingInputError: no such file.
        UnavailableError: a URL that cannot be fetched. DataError: damaged weights, or weights that do not fit the spec.
    """
    spec = load_spec(spec)
    weights = spec.weights if weights is None else weights
    if isinstance(weights, Sequence) and not isinstance(weights, str) and len(weights) == 1:
        weights = weights[0]
    if weights is None:
        raise ConfigError(f"the model '{spec.name}' has no default weights", hint="give a checkpoint: --weights")
    if isinstance(weights, str) and weights.startswith("random:"):
        return _stand_in(spec, weights)
    spec, tensors, source = _gather(spec, weights, progress or Silent())
    foreign = tuple(f"{part}." for part in spec.foreign_parts)
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(foreign)} if foreign else tensors
    restorer = Restorer(spec, expanded=spec.family.has_linear_blocks(own))
    load_into(restorer, tensors, source.name)
    collapse(restorer, spec.foreign_parts)
    restorer.source = source
    return restorer.eval().requires_grad_(False)


def _gather(spec: ModelSpec, weights: Weights, progress: Progress) -> tuple[ModelSpec, dict[str, Tensor], WeightSource]:
    """The spec, with what a ``config.json`` beside the weights states, the tensors and their source."""
    if isinstance(weights, Mapping):
        given = {name: torch.as_tensor(value) for name, value in weights.items()}
        tensors = spec.family.canonical_names(given, "the mapping given")
        return spec, tensors, WeightSource("mapping", "mapping", tensors_sha256(tensors), True)
    items = [weights] if isinstance(weights, str | Path) else list(weights or ())
    if not items:
        raise UsageError("no weights given", hint="give at least one checkpoint")
    tensors = {}
    located = [_locate(spec.family, item, progress) for item in items]
    for item in located:
        if item.config is not None:
            spec = spec.family.with_config(spec, item.config, f"{item.name}/{CONFIG}")
        part = read_checkpoint(item.path, spec.family)
        twice = sorted(set(part) & set(tensors))
        if twice:
            raise DataError(
                f"{item.path}: repeats tensors of another file: {', '.join(twice[:5])}",
                hint="give each part of the model once",
            )
        tensors |= part
    hashes = [sha256_of(item.path) for item in located]
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return spec, tensors, WeightSource(" + ".join(item.name for item in located), located[0].kind, digest, True)


def _locate(family: Family, item: str | Path, progress: Progress) -> _Located:
    text = str(item)
    scheme, _, name = text.partition(":")
    if scheme == "packaged":
        return _Located(_packaged_path(family, name), text, "packaged")
    if scheme == SCHEME:
        return _in_folder(fetch_from_hub(name, progress), text, "hub")
    if scheme in family_names():
        return _Located(download(_published_url(get_family(scheme), name), progress), text, "published")
    if text.startswith(("http://", "https://")):
        return _Located(download(text, progress), Path(text.partition("?")[0].partition("#")[0]).name, "url")
    path = Path(item)
    return _in_folder(path, path.resolve().name, "folder") if path.is_dir() else _Located(path, path.name, "file")


def _in_folder(folder: Path, name: str, kind: str) -> _Located:
    return _Located(weights_in(folder), name, kind, config_in(folder))


def _published_url(family: Family, name: str) -> str:
    if name not in family.published:
        text = f"{family.name}:{name}"
        raise UsageError(f"there is no published checkpoint '{text}'", hint=did_you_mean(name, family.published))
    return family.published[name]


def _packaged_path(family: Family, name: str) -> Path:
    path = packaged_file(family, "weights", f"{name}.safetensors")
    if not path.is_file():
        raise UsageError(
            f"no weights called '{name}' come with the package", hint="elir-edge presets names those that do"
        )
    return path


def _stand_in(spec: ModelSpec, weights: str) -> Restorer:
    """Random weights, seeded by SEED and the tensor's name, scaled so that activations stay near unit size."""
    seed = weights.removeprefix("random:")
    if not seed.isdecimal() or int(seed) >= 2**63:
        raise UsageError(f"'{weights}': the seed must be a whole number below 2^63", hint="write random:0")
    restorer = Restorer(spec)
    tensors = restorer.state_dict()  # the statistics of norms stay as they begin
    for name, parameter in restorer.named_parameters(remove_duplicate=False):
        tensors[name] = torch.from_numpy(_draw(int(seed), name, tuple(parameter.shape)))
    restorer.load_state_dict(tensors)
    restorer.source = WeightSource(weights, "random", tensors_sha256(tensors), False)
    return restorer.eval().requires_grad_(False)


def _draw(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape, dtype=np.float32)
    if len(shape) > 1:
        return values / np.float32(np.sqrt(np.prod(shape[1:])))
    is_norm_scale = name.endswith(".weight")  # convolutions and linear layers have more axes
    return np.asarray(np.float32(0.05) * values + np.float32(is_norm_scale), np.float32)  # an array without axes, too


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names, shapes and float32 values: independent of the kind of file."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name}{tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
