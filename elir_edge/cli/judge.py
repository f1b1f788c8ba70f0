"""elir-edge evaluate --set: a set of pictures under the field's conditions."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import Shown, echo_json
from elir_edge.errors import UsageError

if TYPE_CHECKING:
    from elir_edge.families.restorer import Restorer
    from elir_edge.training.conditions import Condition
    from elir_edge.training.judge import Method

SHEET_CONDITIONS = ("noise 50", "noise 25", "noise 15")


def judge_set(
    restorer: Restorer,
    set_name: str,
    folder: Path | None,
    peers: tuple[str, ...],
    artifacts: tuple[Path, ...],
    only: tuple[str, ...],
    table: Path | None,
    output: Path | None,
    force: bool,
    shown: Shown,
    as_json: bool,
) -> None:
    """Judge, and show the table; write it, and the sheet, where a place for them is given."""
    from elir_edge.core.files import distinct_names
    from elir_edge.core.publish import write_file
    from elir_edge.imaging.pictures import write_picture
    from elir_edge.imaging.sheets import contact_sheet
    from elir_edge.training.judge import judge_methods, load_set, methods_for, rows_to_show, table_of

    _check_places(table, output, force)
    pictures = load_set(set_name, folder)
    conditions = _conditions(only)
    with ExitStack() as stack:
        methods, of_bytes = _methods(restorer, artifacts, peers, stack), set(distinct_names(artifacts).values())
        verdicts = judge_methods(pictures, conditions, methods, shown, of_bytes)
        if output is not None:
            telling = _most_telling(conditions)
            rows = rows_to_show(pictures, telling, methods_for(telling, methods, of_bytes))
            write_picture(output, contact_sheet(rows))
    text = table_of(verdicts)
    if table is not None:
        write_file(table, text.encode())
    if as_json:
        echo_json({"set": set_name, "conditions": [verdict.to_dict() for verdict in verdicts]})
    else:
        click.echo(text, nl=False)


def _check_places(table: Path | None, output: Path | None, force: bool) -> None:
    """Raises OutputError before the work begins where its result could not be written."""
    from elir_edge.cli.sheets import check_output
    from elir_edge.core.publish import check_file_place, refuse_existing

    if output is not None:
        check_output(output, force)
    if table is not None:
        check_file_place(table)
        refuse_existing([table], force)


def _conditions(only: tuple[str, ...]) -> list[Condition]:
    from elir_edge.training.conditions import all_conditions

    found = [condition for condition in all_conditions() if not only or condition.name.startswith(only)]
    if not found:
        known = ", ".join(condition.name for condition in all_conditions())
        raise UsageError(f"no condition begins with {' or '.join(only)}", hint=f"known: {known}")
    return found


def _methods(
    restorer: Restorer, artifacts: tuple[Path, ...], peers: tuple[str, ...], stack: ExitStack
) -> dict[str, Method]:
    """What is judged, by its name in the table. Raises UsageError for one that is given twice."""
    from elir_edge.core.files import distinct_names
    from elir_edge.training.peers import find_peer

    names = distinct_names(artifacts)
    found: list[tuple[str, Method]] = [(restorer.spec.name, _model(restorer))]
    found += [(names[path], _artifact(path, stack)) for path in artifacts]
    found += map(find_peer, peers)
    twice = [name for name, count in Counter(name for name, _ in found).items() if count > 1]
    if twice:
        raise UsageError(
            f"{', '.join(twice)}: given twice, and a table has one column of a name", hint="leave one of them out"
        )
    return dict(found)


def _model(restorer: Restorer) -> Method:
    """The PyTorch model on pictures of any size, which are reflected up to a size that it takes."""
    from elir_edge.training.evaluate import restore_any

    return lambda degraded, sigma: restore_any(restorer, degraded)


def _artifact(path: Path, stack: ExitStack) -> Method:
    """An artifact, tiled as ``restore`` does it, on 8-bit pictures."""
    from elir_edge.runtime.restore import restore_picture
    from elir_edge.runtime.session import open_session

    session = stack.enter_context(open_session(path))

    return lambda degraded, sigma: restore_picture(session, degraded)


def _most_telling(conditions: list[Condition]) -> Condition:
    """The condition to show: the strongest noise that is judged."""
    by_name = {condition.name: condition for condition in conditions}
    return next((by_name[name] for name in SHEET_CONDITIONS if name in by_name), conditions[-1])
