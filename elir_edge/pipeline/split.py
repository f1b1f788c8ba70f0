"""The split form of a target: its parts, converted as the target converts a whole graph, in one folder or file."""

from __future__ import annotations

import dataclasses
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elir_edge.artifacts.split import MANIFEST_FILE, SHIFTS_FILE, SUFFIX
from elir_edge.errors import UsageError
from elir_edge.pipeline.target import Conversion, Target

if TYPE_CHECKING:
    from elir_edge.lowering.split import SplitGraph

FORMATS = ("onnx", "openvino", "tflite")
PRECISIONS = ("fp32", "fp16")


def split_target(target: Target) -> Target:
    """``target``, writing a folder of three graphs, or a file that has them, from a ``SplitGraph``.

    Raises UsageError where it cannot.
    """
    if target.name not in FORMATS:
        raise UsageError(f"the target '{target.name}' has no split form", hint=f"these have: {', '.join(FORMATS)}")
    precisions = tuple(precision for precision in target.precisions if precision in PRECISIONS)
    split = dataclasses.replace(target, precisions=precisions, convert=partial(_convert, target))
    return split if target.join else dataclasses.replace(split, suffixes=(SUFFIX,), embed=_embed)


def _convert(target: Target, graph: SplitGraph, conversion: Conversion) -> dict[str, Any]:
    folder = conversion.folder / f"{conversion.stem}{SUFFIX}"
    folder.mkdir()
    facts: dict[str, Any] = {}
    for name, part in graph.parts.items():
        facts = target.convert(part, dataclasses.replace(conversion, folder=folder, stem=name))  # type: ignore[arg-type]
    np.save(folder / SHIFTS_FILE, graph.shifts, allow_pickle=False)
    if target.join is None:
        return facts
    joined = target.join(folder, conversion.folder / f"{conversion.stem}{target.suffixes[0]}", graph.most_steps)
    shutil.rmtree(folder)
    return facts | joined


def _embed(path: Path, text: str) -> None:
    (path / MANIFEST_FILE).write_text(text, encoding="utf-8")
