"""The files that elir-edge bench writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elir_edge.core.publish import check_file_place, write_file
from elir_edge.errors import UsageError

if TYPE_CHECKING:
    from elir_edge.artifacts.artifact import Artifact
    from elir_edge.bench.results import Results
    from elir_edge.bench.sweep import Gallery


@dataclass(frozen=True)
class Outputs:
    """Places of the results as JSON, as an HTML page, as a Markdown table and as an SVG plot; None: not written."""

    out: Path | None
    report: Path | None
    table: Path | None
    plot: Path | None

    def check(self, source: Path | None) -> None:
        """Check before long work that each can be written. ``source``: the results that are shown, if any.

        Raises UsageError for ``source`` itself and for a place that is given twice, OutputError or StorageError where
        nothing can be written.
        """
        taken = {} if source is None else {source.resolve(): f"the results to show, {source}"}
        for option, path in self._places():
            place = path.resolve()
            if place in taken:
                raise UsageError(f"{option} {path}: is {taken[place]}", hint="give each file a name of its own")
            taken[place] = f"what {option} writes, too"
            check_file_place(path)

    def check_beside(self, artifacts: Sequence[Artifact]) -> None:
        """Raise UsageError for a place that is a file of one of ``artifacts``, inside its folder, or its manifest."""
        from elir_edge.artifacts.artifact import sidecar
        from elir_edge.artifacts.golden import golden_path

        for artifact in artifacts:
            beside = (sidecar(artifact.path), golden_path(artifact.path))
            own = [part.resolve() for part in (artifact.path, *artifact.parts, *beside)]
            for option, path in self._places():
                if any(path.resolve().is_relative_to(part) for part in own):
                    raise UsageError(
                        f"{option} {path}: belongs to the artifact {artifact.path}", hint="choose another name"
                    )

    def write(self, results: Results, galleries: Sequence[Gallery]) -> None:
        """Write them. Raises OutputError, StorageError or LockedError."""
        from elir_edge.bench.charts import speed_plot
        from elir_edge.bench.report import html_report
        from elir_edge.bench.table import markdown

        if self.out:
            write_file(self.out, results.to_json().encode())
        if self.report:
            write_file(self.report, html_report(results, galleries).encode())
        if self.table:
            write_file(self.table, markdown(results).encode())
        if self.plot:
            write_file(self.plot, speed_plot(results).encode())

    def _places(self) -> list[tuple[str, Path]]:
        places = (("-o", self.out), ("--report", self.report), ("--table", self.table), ("--plot", self.plot))
        return [(option, path) for option, path in places if path is not None]
