"""elir-edge bench --compare."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from elir_edge.cli.shared import echo_json, echo_table

HEAD = ("row", "verdict", "speed", "noise", "by", "memory", "")


def show_comparison(old: Path, new: Path, as_json: bool) -> int:
    """Show the changes from the results in ``old`` to those in ``new``, and how the two runs differ.

    Returns 1 where a row became slower, wrong, failed or is gone, else 0. Raises MissingInputError, and DataError for a
    file without results.
    """
    from elir_edge.bench.compare import compare_results, differences
    from elir_edge.bench.results import load_results

    before, after = load_results(old), load_results(new)
    changes, notes = compare_results(before, after), differences(before, after)
    if as_json:
        echo_json({"notes": notes, "changes": [dataclasses.asdict(change) for change in changes]})
    else:
        rows = [
            (
                change.label,
                change.verdict,
                "" if change.factor is None else f"x {change.factor:.2f}",
                "" if change.noise is None else f"+- {change.noise:.0%}",
                change.by,
                "" if change.memory is None else f"x {change.memory:.2f}",
                change.detail,
            )
            for change in changes
        ]
        echo_table(HEAD, rows)
        for note in notes:
            click.echo(f"note: {note}")
    return int(any(change.regressed for change in changes))
