"""Loading models: weights from files, URLs, published or packaged names, or random stand-ins."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elir_edge.core.download import download
from elir_edge.core.files import sha256_of
from elir_edge.core.plain import whole_number
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import ConfigError, UsageError, did_you_mean
from elir_edge.families.base import Family
from elir_edge.families.checkpoint import load_into, read_checkpoint, refuse_repeats
from elir_edge.families.hub import CONFIG, SCHEME, config_in, fetch_from_hub, weights_in
from elir_edge.families.registry import family_names, get_family
from elir_edge.families.restorer import Restorer, WeightSource
from elir_edge.families.rewrites.collapse import collapse
from elir_edge.families.spec import ModelSpec, load_spec, packaged_file
from elir_edge.families.tensor_names import under_model_names


@dataclass(frozen=True)
class _Located:
    """Files of weights on disk, a ``name`` for them without folders of this machine, and the ``kind`` of their source.

    ``paths`` is one file, or all shards of one. ``config_folder`` is where their ``config.json`` is, if they have one.
    """

    paths: tuple[Path, ...]
    name: str
    kind: str
    config_folder: Path | None = None


Weights = str | Path | Sequence[str | Path] | Mapping[str, Any] | None


def load_restorer(
    spec: ModelSpec | str | Path = "nano", weights: Weights = None, progress: Progress | None = None
) -> Restorer:
    """A model with weights, in eval mode, linear blocks collapsed, without gradients.

    Args:
        spec: a ModelSpec, the name of a preset or the path of a YAML file.
        weights: path or URL of a checkpoint, several paths (an autoencoder's two files), a folder with one file of
            weights or its shards, and with its ``config.json``, such a folder on the Hugging Face hub
            (``hf:OWNER/REPOSITORY[/FOLDER]``), a mapping of tensors or arrays, ``elir:TASK`` (published),
            ``packaged:NAME`` (in the package), ``random:SEED`` (stand-ins: the restored pictures mean nothing); None
            for the spec's own.
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
    """The spec, with what each ``config.json`` beside the weights states, the tensors and their source."""
    if isinstance(weights, Mapping):
        given = {name: torch.as_tensor(value) for name, value in weights.items()}
        named = under_model_names(given, spec.family, "the mapping given")
        return spec, named, WeightSource("mapping", "mapping", tensors_sha256(named), True)
    items = [weights] if isinstance(weights, str | Path) else list(weights or ())
    if not items:
        raise UsageError("no weights given", hint="give at least one checkpoint")
    located = [_locate(spec.family, item, progress) for item in items]
    read = [read_checkpoint(item.paths, spec.family) for item in located]
    tensors: dict[str, Tensor] = {}
    for item, part in zip(located, read, strict=True):
        refuse_repeats(item.paths[0], part, tensors)
        tensors |= part
    hashes = [sha256_of(path) for item in located for path in item.paths]
    digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    source = WeightSource(" + ".join(item.name for item in located), located[0].kind, digest, True)
    return _with_configs(spec, zip(located, read, strict=True)), tensors, source


def _with_configs(spec: ModelSpec, items: Iterable[tuple[_Located, Mapping[str, Tensor]]]) -> ModelSpec:
    """``spec`` with what each ``config.json`` states that is beside tensors of the family's ``config_parts``.

    Raises ConfigError where two of them state different things.
    """
    family, stated = spec.family, []
    prefixes = tuple(f"{part}." for part in family.config_parts)
    for item, tensors in items:
        if item.config_folder is not None and any(name.startswith(prefixes) for name in tensors):
            config = config_in(item.config_folder)
            where = f"{CONFIG} beside {item.name}" if item.kind == "file" else f"{item.name}/{CONFIG}"
            stated += [] if config is None else [(config, where)]
    for config, where in stated:
        spec = family.with_config(spec, config, where)
    for config, where in stated:
        if family.with_config(spec, config, where) != spec:
            raise ConfigError(
                f"{where} states another model than {stated[-1][1]}", hint="give files of one and the same model"
            )
    return spec


def _locate(family: Family, item: str | Path, progress: Progress) -> _Located:
    text = str(item)
    scheme, _, name = text.partition(":")
    if scheme == "packaged":
        return _Located((_packaged_path(family, name),), text, "packaged")
    if scheme == SCHEME:
        return _in_folder(fetch_from_hub(name, progress), text, "hub")
    if scheme in family_names():
        return _Located((download(_published_url(get_family(scheme), name), progress),), text, "published")
    if text.startswith(("http://", "https://")):
        return _Located((download(text, progress),), Path(text.partition("?")[0].partition("#")[0]).name, "url")
    path = Path(item)
    if path.is_dir():
        return _in_folder(path, path.resolve().name, "folder")
    return _Located((path,), path.name, "file", path.parent)


def _in_folder(folder: Path, name: str, kind: str) -> _Located:
    return _Located(weights_in(folder), name, kind, folder)


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
    seed = whole_number(weights.removeprefix("random:"))
    if seed is None or seed >= 2**63:
        raise UsageError(f"'{weights:.60}': the seed must be a whole number below 2^63", hint="write random:0")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # a user's module may have random buffers
        restorer = Restorer(spec)
    tensors = restorer.state_dict()  # the statistics of norms stay as they begin
    for name, parameter in restorer.named_parameters(remove_duplicate=False):
        tensors[name] = torch.from_numpy(_draw(seed, name, tuple(parameter.shape)))
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
