"""What the commands that write one picture check before they start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elir_edge.core.publish import refuse_existing
from elir_edge.errors import UsageError
from elir_edge.imaging.file_formats import format_of_target


def check_output(output: Path, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Raise UsageError for an output that is an input or of no known format, OutputError for one that exists."""
    format_of_target(output)
    if any(path.resolve() == output.resolve() for path in inputs):
        raise UsageError(f"{output}: is the picture itself", hint="choose another name with -o")
    refuse_existing([output], force)
