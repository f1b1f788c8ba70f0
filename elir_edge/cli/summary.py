"""What ``restore`` says at its end: how many pictures are done, and what their files do not keep."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from elir_edge.cli.shared import Shown, echo_json
from elir_edge.errors import DataError

if TYPE_CHECKING:
    from elir_edge.runtime.work import Restored


def tell_results(report: list[Restored], as_json: bool, shown: Shown) -> int:
    """Show what became of the pictures, and return the exit status."""
    bad = [result for result in report if result.error]
    skipped = sum(result.skipped for result in report)
    for text, count in Counter(text for result in report for text in result.lost).items():
        shown.note(f"note: {text}" + (f" ({count} pictures)" if len(report) > 1 else ""))
    _tell_faces([result.faces for result in report if result.faces is not None], shown)
    if as_json:
        echo_json([_as_json(result) for result in report])
    elif len(report) > 1 or bad or skipped:
        before = f", {skipped} done before" if skipped else ""
        click.echo(f"{len(report) - len(bad) - skipped} of {len(report)} restored{before}")
    else:
        click.echo(f"{report[0].target}")
    return (bad[0].exit_code if len(report) == 1 else DataError.exit_code) if bad else 0


def _tell_faces(counts: list[int], shown: Shown) -> None:
    """How many faces were restored in pictures that were searched for them, and how many pictures have none."""
    if not counts:
        return
    shown.note(f"faces: {sum(counts)}")
    if 0 in counts:
        without = f" in {counts.count(0)} pictures" if len(counts) > 1 else ""
        shown.note(f"note: no face was found{without}: nothing but the background was restored, if that was asked for")


def _as_json(result: Restored) -> dict[str, Any]:
    return {
        "picture": result.source,
        "restored": None if result.error else str(result.target),
        "error": result.error,
        "lost": result.lost,
        "done_before": result.skipped,
        **({} if result.faces is None else {"faces": result.faces}),
        "seconds": round(result.seconds, 3),
    }
