"""From a lowered graph to files with a manifest inside."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from elir_edge.artifacts.artifact import Manifest
from elir_edge.core.publish import storage_error
from elir_edge.errors import ElirEdgeError, ResourceError, is_memory_error, reason_of
from elir_edge.lowering.static import StaticRestorer
from elir_edge.pipeline.request import ExportRequest
from elir_edge.pipeline.target import Conversion


def convert_and_embed(
    graph: StaticRestorer, request: ExportRequest, facts: dict[str, Any], conversion: Conversion
) -> Manifest:
    """Write the files of ``conversion`` and put a manifest of ``facts`` into them; returns that manifest.

    It has no figures yet: they are measured on these files. Raises ElirEdgeError where the converter fails,
    ResourceError or StorageError where memory or disk runs out.
    """
    manifest = Manifest(**facts, format=_convert(graph, request, conversion))
    request.target.embed(main_file(request, conversion), manifest.to_json())
    return manifest


def main_file(request: ExportRequest, conversion: Conversion) -> Path:
    """The file to open, of those that a conversion writes."""
    return conversion.folder / f"{conversion.stem}{request.target.suffixes[0]}"


def _convert(graph: StaticRestorer, request: ExportRequest, conversion: Conversion) -> dict[str, Any]:
    try:
        return request.target.convert(graph, conversion)
    except ElirEdgeError:
        raise
    except Exception as error:  # converters raise anything
        if is_memory_error(error):
            raise ResourceError("not enough memory to convert the model", hint="export at a smaller --size") from error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise storage_error(conversion.folder, error) from error
        raise ElirEdgeError(
            f"the {request.target.name} converter failed: {reason_of(error)}",
            hint="run again with --debug first, and report it; another --target may work",
        ) from error
