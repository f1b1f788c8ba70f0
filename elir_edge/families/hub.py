"""Folders of weights as model hubs lay them out: tensors in one file or in shards, ``config.json`` beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from elir_edge.core.cache import cache_folder
from elir_edge.core.progress import Progress
from elir_edge.errors import DataError, UnavailableError, UsageError, missing_package

SCHEME = "hf"
WANTED = ("*.safetensors", "*.bin", "config.json")
CONFIG = "config.json"
MAX_CONFIG_BYTES = 1 << 20
SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})")


def fetch_from_hub(name: str, progress: Progress) -> Path:
    """The folder ``OWNER/REPOSITORY[@REVISION][/FOLDER]`` of the Hugging Face hub, in the cache.

    Only its tensors and its ``config.json`` are fetched. Raises UsageError for another name, UnavailableError where
    huggingface_hub is not installed or the hub cannot be reached or has no such repository, DataError where the
    repository has no such folder.
    """
    repository, revision, folder = _parse(name)
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise missing_package("huggingface_hub", "hub") from error
    place = f"{folder}/" if folder else ""
    patterns = [place + pattern for pattern in WANTED]
    with progress.stage(f"fetching {name}"):
        try:
            root = Path(
                snapshot_download(
                    repository,
                    revision=revision,
                    allow_patterns=patterns,
                    ignore_patterns=[f"{place}*/*"],  # a pattern's * crosses folders: other parts of a large model
                    cache_dir=cache_folder("hub"),
                    token=False,
                )
            )
        except (OSError, ValueError, RuntimeError) as error:  # the hub's errors derive from these
            raise UnavailableError(
                f"{SCHEME}:{name}: cannot be fetched ({str(error).strip().splitlines()[0]})",
                hint="check name and network, or fetch the folder yourself and give its path with --weights",
            ) from error
    if not (root / folder).is_dir():
        raise DataError(
            f"{SCHEME}:{name}: the repository has no folder '{folder}' with weights",
            hint="give a repository of diffusers, or the path of a checkpoint",
        )
    return root / folder


def weights_in(folder: Path) -> tuple[Path, ...]:
    """The file of tensors in ``folder``, or all its shards ``NAME-0000i-of-0000n``: .safetensors, else .bin.

    Raises DataError where there is none, where shards are missing, and for several files that are no shards.
    """
    for suffix in (".safetensors", ".bin"):
        found = sorted(path for path in folder.iterdir() if path.suffix == suffix)
        if len(found) > 1 or any(SHARD.fullmatch(path.stem) for path in found):
            return _require_shards(folder, found)
        if found:
            return (found[0],)
    raise DataError(
        f"{folder}: has neither a .safetensors nor a .bin file",
        hint="give a repository of diffusers, or the path of a checkpoint",
    )


def _require_shards(folder: Path, found: list[Path]) -> tuple[Path, ...]:
    """``found``, in order. Raises DataError unless they are all shards of one set of tensors."""
    shards = [match.groups() for path in found if (match := SHARD.fullmatch(path.stem))]
    names = ", ".join(path.name for path in found[:8]) + (", ..." if len(found) > 8 else "")
    if len(shards) < len(found) or len({(stem, count) for stem, _, count in shards}) > 1:
        raise DataError(
            f"{folder}: has several files of weights, and they are not the shards of one: {names}",
            hint=f"give the path of the one to take; the {CONFIG} beside it is read too",
        )
    count = int(shards[0][2])
    if [int(number) for _, number, _ in shards] != list(range(1, len(found) + 1)) or len(found) != count:
        raise DataError(
            f"{folder}: has {len(found)} of {count} shards: {names}", hint="copy or download the folder again"
        )
    return tuple(found)


def config_in(folder: Path) -> dict[str, Any] | None:
    """The content of ``config.json`` in ``folder``, None where there is none. Raises DataError for a damaged one."""
    path = folder / CONFIG
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise DataError(
            f"{path}: larger than any configuration", hint="give a repository of diffusers, or the path of a checkpoint"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: not JSON ({error})", hint="give a repository of diffusers, or the path of a checkpoint"
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: holds a {type(content).__name__}, not an object",
            hint="give a repository of diffusers, or the path of a checkpoint",
        )
    return content


def _parse(name: str) -> tuple[str, str | None, str]:
    """(OWNER/REPOSITORY, revision, folder) of a hub name."""
    parts = name.split("/")
    if len(parts) < 2 or not all(parts) or any(part in (".", "..") for part in parts):
        raise UsageError(f"'{SCHEME}:{name}' names no repository", hint=f"write {SCHEME}:OWNER/REPOSITORY[/FOLDER]")
    repository, _, revision = parts[1].partition("@")
    return f"{parts[0]}/{repository}", revision or None, "/".join(parts[2:])
