"""elir-edge restore."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elir_edge.cli.on_ray import restore_on_cluster
from elir_edge.cli.restore_options import PICTURES, STREAM, STREAMS, VIDEOS, Options, check_options, kind_of_work
from elir_edge.cli.shared import (
    PATH,
    Shown,
    echo_json,
    is_given,
    json_option,
    load_model,
    model_options,
    open_artifact,
    size_option,
)
from elir_edge.cli.summary import tell_results
from elir_edge.core.files import sha256_of
from elir_edge.errors import UsageError
from elir_edge.imaging.noise import MAX_SEED
from elir_edge.imaging.tiling import DEFAULT_OVERLAP

if TYPE_CHECKING:
    from elir_edge.runtime.base import Session
    from elir_edge.runtime.work import Restored


@click.command("restore")
@click.argument("pictures", nargs=-1, required=True, type=PATH)
@click.option("--out", "-o", required=True, type=PATH, help="File to write, or a folder; with --raw - for stdout.")
@click.option("--artifact", "-a", type=PATH, help="Artifact to run. Default: the PyTorch model.")
@click.option("--backend", "-b", help="Runtime for the artifact. Default: the usual one of its format.")
@model_options
@size_option
@click.option("--seed", default=0, type=click.IntRange(0, MAX_SEED), show_default=True, help="Draws the flow's noise.")
@click.option("--steps", type=click.IntRange(1), help="Euler steps of a split artifact. Default: as many as it has.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Of each session. Default: the runtime's own choice.")
@click.option("--jobs", "-j", default=1, type=click.IntRange(1, 256), show_default=True, help="Sessions at a time.")
@click.option("--engine", type=click.Choice(["threads", "ray"]), default="threads", help="ray: --jobs on a cluster.")
@click.option("--recursive", "-r", is_flag=True, help="Look into folders inside folders; the tree is kept.")
@click.option("--format", "-f", help="png, jpeg, webp, tiff, avif, heic, bmp. Default: the picture's own.")
@click.option("--quality", "-q", default=95, type=click.IntRange(1, 100), show_default=True, help="Of lossy formats.")
@click.option("--alpha", type=click.Choice(["keep", "restore"]), default="keep", show_default=True, help="Of alpha.")
@click.option("--profile", type=click.Choice(["keep", "srgb"]), default="keep", show_default=True, help="Of colours.")
@click.option(
    "--tile-overlap", default=DEFAULT_OVERLAP, type=int, show_default=True, help="Pixels tiles share at least."
)
@click.option("--faces", is_flag=True, help="Find the faces, and restore each by itself.")
@click.option("--background", type=PATH, help="With --faces: artifact for the rest. Default: it is left as it is.")
@click.option("--raw", metavar="WxH", help="With -: RGB frames of 8 bits on stdin and stdout.")
@click.option("--force", is_flag=True, help="Replace what is there, and restore again what is done.")
@json_option
def command(pictures: tuple[Path, ...], **options: Any) -> int:
    """Restore PICTURES at their own size: files, folders, globs; a video; or - for frames on stdin."""
    chosen = Options(**options)
    kind = kind_of_work(pictures, chosen)
    check_options(kind, chosen)
    if chosen.engine == "ray":
        return restore_on_cluster(pictures, chosen)
    return {STREAMS: _stream, VIDEOS: _video, PICTURES: _pictures}[kind](pictures, chosen)


def _pictures(pictures: tuple[Path, ...], options: Options) -> int:
    from elir_edge.runtime.batch import locked_journal
    from elir_edge.runtime.plan import plan_pictures

    plan = plan_pictures(list(pictures), options.out, options.format, options.recursive, options.force)
    shown = Shown()
    with ExitStack() as stack:
        run = _runner(options, shown, stack)
        journal = stack.enter_context(locked_journal(options.out)) if plan.in_folder else None
        advance = stack.enter_context(shown.counter("restoring", len(plan.pairs)))
        report = []
        for result in run([*plan.pairs], journal, advance):
            report.append(result)
            if result.error:
                click.echo(f"elir-edge: {result.error}" + (f"\n  -> {result.hint}" if result.hint else ""), err=True)
    return tell_results(report, options.as_json, shown)


def _runner(options: Options, shown: Shown, stack: ExitStack) -> Callable[..., Iterator[Restored]]:
    """Restores (pairs, journal, advance) with all sessions open: whole pictures, or the faces in them."""
    from elir_edge.runtime.batch import run_pictures
    from elir_edge.runtime.faces import FaceSessions, face_key, run_face_pictures

    sessions, key, settings = open_sessions(options, shown, stack), model_key(options), options.settings()
    if not options.faces:
        return lambda pairs, *more: run_pictures(pairs, sessions, key, settings, *more)
    both = [*map(FaceSessions, sessions, _backgrounds(options, shown, stack))]
    key = face_key(key, options.background)
    return lambda pairs, *more: run_face_pictures(pairs, both, key, settings, *more)


def _backgrounds(options: Options, shown: Shown, stack: ExitStack) -> Sequence[Session | None]:
    """A session of --background for each of --jobs; None where there is none."""
    if options.background is None:
        return [None] * options.jobs
    around = replace(options, artifact=options.background, backend=None, steps=None)
    return open_sessions(around, shown, stack, seeded=False)


def open_sessions(options: Options, shown: Shown, stack: ExitStack, seeded: bool = True) -> list[Session]:
    """As many sessions as --jobs asks for. Raises UsageError where --seed or --tile-overlap make no sense for them."""
    from elir_edge.artifacts.tensors import graph_size
    from elir_edge.runtime.restore import check_overlap, image_input, noise_feeds

    sessions = [stack.enter_context(_session(options, shown)) for _ in range(options.jobs)]
    if seeded and options.artifact is not None and is_given("seed") and not noise_feeds(sessions[0], options.seed):
        raise UsageError("--seed has no effect: the artifact's noise is baked in", hint="leave it out")
    check_overlap(options.tile_overlap, graph_size(image_input(sessions[0])))
    return sessions


def _session(options: Options, shown: Shown) -> Session:
    from elir_edge.artifacts.artifact import require_runnable
    from elir_edge.runtime.session import open_session

    if options.artifact is not None:
        opened = open_artifact(options.artifact, shown, options.backend)
        require_runnable(opened)
        return open_session(opened.path, options.backend, options.threads, steps=options.steps)
    restorer = load_model(options.preset, options.weights, shown, options.size)
    from elir_edge.lowering.lower import lower

    return open_session(lower(restorer, options.size, noise=f"baked:{options.seed}"), threads=options.threads)


def model_key(options: Options) -> str:
    """What stands for the model in a journal: the content of its files, and the names of what is no file."""
    from elir_edge.artifacts.artifact import model_sha256

    if options.artifact is not None:
        return model_sha256(options.artifact) + (f" steps {options.steps}" if options.steps else "")
    parts = (options.preset, *options.weights, options.size or "")
    return " ".join(sha256_of(Path(part)) if part and Path(part).is_file() else part for part in parts)


def _only(pictures: tuple[Path, ...], what: str) -> Path:
    if len(pictures) != 1:
        raise UsageError(f"{what} is restored by itself; {len(pictures)} were given", hint="run the command for each")
    return pictures[0]


def _stream(pictures: tuple[Path, ...], options: Options) -> int:
    from elir_edge.imaging.raw_frames import parse_raw_size
    from elir_edge.runtime.frames import restore_raw_frames

    if _only(pictures, "a stream of frames") != STREAM or options.raw is None:
        raise UsageError(
            "frames on stdin need both - and --raw WIDTHxHEIGHT",
            hint="give the frames' size with --raw, and - as the picture",
        )
    if options.out != STREAM:
        raise UsageError(f"frames of stdin go to stdout, not to {options.out}", hint="use -o -")
    size = parse_raw_size(options.raw)
    shown = Shown()
    with ExitStack() as stack:
        sessions = open_sessions(options, shown, stack)
        told = restore_raw_frames(sys.stdin.buffer, sys.stdout.buffer, size, sessions, options.settings())
    shown.note(f"{told.frames} frames, {told.per_second:.2f} a second")
    return 0


def _video(pictures: tuple[Path, ...], options: Options) -> int:
    from elir_edge.core.publish import check_place, refuse_existing
    from elir_edge.runtime.video import restore_video

    source, shown = _only(pictures, "a video"), Shown()
    check_place(options.out)
    refuse_existing([options.out], options.force)
    with ExitStack() as stack:
        sessions = open_sessions(options, shown, stack)
        told = restore_video(source, options.out, sessions, options.settings(), shown)
    if options.as_json:
        echo_json(
            {"video": source, "restored": options.out, "frames": told.frames, "frames_per_second": told.per_second}
        )
    else:
        click.echo(f"{options.out}: {told.frames} frames, {told.per_second:.2f} a second")
    return 0
