"""The manifest inside an artifact, read without its runtime, and held against the one beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from elir_edge.artifacts.artifact import MANIFEST_KEY, Manifest
from elir_edge.artifacts.split import MANIFEST_FILE, SUFFIX
from elir_edge.errors import DataError
from elir_edge.formats.names import WEB_MODEL
from elir_edge.formats.onnx.wire import read_metadata
from elir_edge.formats.tflite.file import read_metadata as read_tflite_metadata

READABLE = (".onnx", ".web", ".tflite", ".xml", SUFFIX)
SHOWN = 3


def embedded_manifest(path: Path) -> str | None:
    """Text of the manifest inside the artifact at ``path``, None where it holds none.

    For the suffixes in ``READABLE``; of the others only their own libraries can read it. Raises DataError.
    """
    if path.suffix == ".tflite":
        return read_tflite_metadata(path, MANIFEST_KEY)
    if path.suffix == ".xml":
        return _in_rt_info(path)
    if path.suffix == SUFFIX:
        inside = path / MANIFEST_FILE
        return inside.read_text(encoding="utf-8", errors="replace") if inside.is_file() else None
    return read_metadata(path / WEB_MODEL if path.suffix == ".web" else path, MANIFEST_KEY)


def check_agreement(path: Path, beside: Manifest) -> None:
    """Raise DataError where the manifest inside the artifact states anything else than the one beside it.

    Hashes and measured latencies are in the one beside only. The golden file may be left out beside, as packages do.
    The output of an NPU compiler holds none of its own.
    """
    if path.suffix not in READABLE or beside.compiled is not None:
        return
    text = embedded_manifest(path)
    if text is None:
        raise DataError(
            f"{path}: holds no manifest, although one lies beside it", hint="export it again with elir-edge export"
        )
    inside = _comparable(Manifest.from_json(text, f"{path} (manifest inside)"))
    left_out = {"golden"} if beside.golden is None else set()
    stated = {key: value for key, value in _comparable(beside).items() if key not in left_out}
    others = [f"{key} ({value!s:.60})" for key, value in stated.items() if value != inside[key]]
    if others:
        raise DataError(
            f"{path}: the manifest beside it is not the one inside; it states another {', '.join(others[:SHOWN])}",
            hint="it was changed, or belongs to another export: copy both again, or export again",
        )


def _comparable(manifest: Manifest) -> dict[str, Any]:
    facts = dataclasses.asdict(manifest) | {"files": None}
    if manifest.quantization is not None:
        facts["quantization"] = {key: value for key, value in manifest.quantization.items() if key != "mixed"}
    return facts


def _in_rt_info(path: Path) -> str | None:
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an encoding that is none
        raise DataError(f"{path}: damaged .xml file ({error})", hint="copy it again, or export it again") from error
    entry = root.find(f"rt_info/{MANIFEST_KEY}")
    return None if entry is None else entry.get("value")
