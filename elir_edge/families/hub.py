"""Folders of weights as model hubs lay them out: one file of tensors, and a ``config.json`` beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from elir_edge.core.cache import cache_folder
from elir_edge.core.progress import Progress
from elir_edge.errors import DataError, UnavailableError, UsageError, missing_package

SCHEME = "hf"
WANTED = ("*.safetensors", "*.bin", "config.json")
CONFIG = "config.json"
MAX_CONFIG_BYTES = 1 << 20


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


def weights_in(folder: Path) -> Path:
    """The one file of tensors in ``folder``: .safetensors, else .bin. Raises DataError for none and for several."""
    for suffix in (".safetensors", ".bin"):
        found = sorted(path for path in folder.iterdir() if path.suffix == suffix)
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:8])
            raise DataError(f"{folder}: has several files of weights: {names}", hint="give the path of one of them")
        if found:
            return found[0]
    raise DataError(
        f"{folder}: has neither a .safetensors nor a .bin file",
        hint="give a repository of diffusers, or the path of a checkpoint",
    )


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
