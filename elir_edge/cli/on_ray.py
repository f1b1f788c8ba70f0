"""elir-edge restore --engine ray."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import Shown, echo_json
from elir_edge.errors import DataError, UsageError

if TYPE_CHECKING:
    from elir_edge.cli.restore_options import Options
    from elir_edge.runtime.ray_worker import Job

SHOWN_FAILURES = 10
Rows = Path | list[tuple[Path, Path]]


def restore_on_cluster(pictures: tuple[Path, ...], options: Options) -> int:
    """Restore what was named, tell how it ended, and return the exit status."""
    from elir_edge.runtime.ray_engine import restore_on_ray

    shown = Shown()
    rows = _rows(pictures, options)
    job = _job(options, shown)
    counts: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    total = None if isinstance(rows, Path) else len(rows)
    with shown.counter("restoring", total) as advance, closing(restore_on_ray(rows, job, options.jobs)) as results:
        for result in results:
            advance(1)
            counts["failed" if result.error else "done_before" if result.skipped else "restored"] += 1
            lost.update(result.lost)
            if result.error and counts["failed"] <= SHOWN_FAILURES:
                click.echo(f"elir-edge: {result.error}", err=True)
    return _tell(counts, lost, options, shown)


def _rows(pictures: tuple[Path, ...], options: Options) -> Rows:
    """A list of pictures, or (source, target) pairs. Raises what ``plan_pictures`` does."""
    from elir_edge.runtime.plan import plan_pictures
    from elir_edge.runtime.ray_engine import is_list

    lists = [path for path in pictures if is_list(path)]
    if lists:
        if len(pictures) > 1:
            raise UsageError("a list of pictures is restored by itself", hint="run the command for each list")
        return lists[0]
    plan = plan_pictures(list(pictures), options.out, options.format, options.recursive, options.force)
    if not plan.in_folder:
        raise UsageError(f"{options.out}: the engine ray writes into a folder", hint="give a folder with -o")
    return [(source, target) for source, target in plan.pairs if target is not None]


def _job(options: Options, shown: Shown) -> Job:
    """What the workers are told. The artifact is opened here first, so that what is wrong with it is said at once."""
    from elir_edge.cli.restore import model_key, open_sessions
    from elir_edge.runtime.ray_worker import Job

    if options.artifact is None:
        raise UsageError("the engine ray runs artifacts", hint="give one with --artifact: elir-edge export writes it")
    with ExitStack() as stack:
        open_sessions(replace(options, jobs=1), shown, stack)
    return Job(
        options.artifact.resolve(),
        options.out.resolve(),
        model_key(options),
        backend=options.backend,
        threads=options.threads or 1,
        steps=options.steps,
        format=options.format,
        settings=options.settings(),
    )


def _tell(counts: Counter[str], lost: Counter[str], options: Options, shown: Shown) -> int:
    from elir_edge.runtime.ray_engine import FAILURES

    for text, count in lost.items():
        shown.note(f"note: {text} ({count} pictures)")
    failures = options.out / FAILURES
    if options.as_json:
        kinds = {kind: counts[kind] for kind in ("restored", "done_before", "failed")}
        echo_json({**kinds, "failures": failures if counts["failed"] else None})
    else:
        before = f", {counts['done_before']} done before" if counts["done_before"] else ""
        click.echo(f"{counts['restored']} of {counts.total()} restored{before}")
    if counts["failed"] and not options.as_json:
        click.echo(f"elir-edge: {counts['failed']} failed; {failures} says why", err=True)
    return DataError.exit_code if counts["failed"] else 0
