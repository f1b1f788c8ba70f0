"""elir-edge restore."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from elir_edge.cli.shared import (
    Shown,
    echo_json,
    given,
    json_option,
    load_model,
    model_options,
    open_artifact,
    size_option,
)
from elir_edge.errors import DataError, ElirEdgeError, MissingInputError, UsageError
from elir_edge.imaging.noise import MAX_SEED

if TYPE_CHECKING:
    from elir_edge.runtime.base import Session


@click.command("restore")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", "-o", required=True, type=click.Path(path_type=Path), help="Picture to write, or a folder.")
@click.option("--artifact", "-a", type=click.Path(path_type=Path), help="Artifact to run. Default: the PyTorch model.")
@click.option("--backend", "-b", help="Runtime for the artifact. Default: the usual one of its format.")
@model_options
@size_option
@click.option("--seed", default=0, type=click.IntRange(0, MAX_SEED), show_default=True, help="Draws the flow's noise.")
@click.option("--steps", type=click.IntRange(1), help="Euler steps of a split artifact. Default: as many as it has.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Default: the runtime's own choice.")
@click.option("--force", is_flag=True, help="Replace pictures that are there.")
@json_option
def command(
    pictures: tuple[Path, ...],
    out: Path,
    artifact: Path | None,
    backend: str | None,
    preset: str,
    weights: tuple[str, ...],
    size: str | None,
    seed: int,
    steps: int | None,
    threads: int | None,
    force: bool,
    as_json: bool,
) -> int:
    """Restore PICTURES, files or folders, each at its own size."""
    if artifact is not None and (given("preset") or weights or size):
        raise UsageError("--artifact brings its own model; leave out --preset, --weights and --size")
    if artifact is None and backend not in (None, "torch"):
        raise UsageError(f"--backend {backend} runs an artifact", hint="give one with --artifact, or export it first")
    if artifact is None and steps is not None:
        raise UsageError("--steps runs a split artifact", hint="give one with --artifact: elir-edge export --split")
    from elir_edge.runtime.restore import noise_feeds

    jobs = _plan(pictures, out, force)
    shown = Shown()
    with _session(artifact, backend, preset, weights, size, seed, steps, threads, shown) as session:
        if artifact is not None and given("seed") and not noise_feeds(session, seed):
            raise UsageError("--seed has no effect: the artifact's noise is baked in", hint="leave it out")
        failed = [_attempt(session, source, target, seed, shown) for source, target in jobs]
    report = [
        {"picture": str(source), "restored": None if error else str(target), "error": error}
        for (source, target), error in zip(jobs, failed, strict=True)
    ]
    bad = [entry for entry in report if entry["error"]]
    if as_json:
        echo_json(report)
    else:
        click.echo(f"{len(report) - len(bad)} of {len(report)} restored" if len(report) > 1 or bad else f"{jobs[0][1]}")
    return DataError.exit_code if bad else 0


def _plan(pictures: tuple[Path, ...], out: Path, force: bool) -> list[tuple[Path, Path]]:
    """Which picture goes where. Raises before any work where that cannot be done."""
    from elir_edge.core.publish import check_place, refuse_existing
    from elir_edge.imaging.pictures import picture_format, pictures_in

    check_place(out)
    sources = [path for given in pictures for path in (pictures_in(given) if given.is_dir() else [given])]
    missing = [str(path) for path in sources if not path.is_file()]
    if missing:
        raise MissingInputError(f"no such picture: {', '.join(missing)}")
    single = len(sources) == 1 and not pictures[0].is_dir() and not out.is_dir() and out.suffix != ""
    if not single and len(sources) > 1 and out.suffix and not out.is_dir():
        raise UsageError(f"{len(sources)} pictures cannot go into one file {out}", hint="give a folder with -o")
    targets = [out] if single else [out / f"{source.stem}.png" for source in sources]
    for source, target in zip(sources, targets, strict=True):
        picture_format(target)
        if target.exists() and target.samefile(source):
            raise UsageError(f"{target}: is the picture itself", hint="choose another name with -o")
        refuse_existing([target], force)
    twice = sorted({str(target) for target in targets if targets.count(target) > 1})
    if twice:
        raise UsageError(f"several pictures would be written to {', '.join(twice)}", hint="restore them separately")
    return list(zip(sources, targets, strict=True))


def _session(
    artifact: Path | None,
    backend: str | None,
    preset: str,
    weights: tuple[str, ...],
    size: str | None,
    seed: int,
    steps: int | None,
    threads: int | None,
    shown: Shown,
) -> Session:
    from elir_edge.artifacts.artifact import require_runnable
    from elir_edge.runtime.session import open_session

    if artifact is not None:
        opened = open_artifact(artifact, shown, backend)
        require_runnable(opened)
        return open_session(opened.path, backend, threads, steps=steps)
    restorer = load_model(preset, weights, shown)
    from elir_edge.lowering.lower import lower

    return open_session(lower(restorer, size, noise=f"baked:{seed}"), threads=threads)


def _attempt(session: Session, source: Path, target: Path, seed: int, shown: Shown) -> str | None:
    """Restore one picture; the reason where that fails because of the picture."""
    from elir_edge.imaging.pictures import read_picture, write_picture
    from elir_edge.runtime.restore import restore_picture

    try:
        pixels = read_picture(source)
    except (DataError, MissingInputError) as error:
        click.echo(f"elir-edge: {error}" + _hint(error), err=True)
        return str(error)
    write_picture(target, restore_picture(session, pixels, seed, shown))
    return None


def _hint(error: ElirEdgeError) -> str:
    return f"\n  -> {error.hint}" if error.hint else ""
