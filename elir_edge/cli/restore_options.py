"""The options of elir-edge restore: what they are, and which of them exclude each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elir_edge.cli.shared import is_given, refuse_given
from elir_edge.errors import UsageError

if TYPE_CHECKING:
    from elir_edge.runtime.settings import Settings

STREAM = Path("-")
PICTURES, VIDEOS, STREAMS = "pictures", "videos", "streams of frames"
OF_PICTURES = ("format", "alpha", "profile", "recursive", "faces", "background")
WITHOUT_EFFECT = {PICTURES: (), VIDEOS: OF_PICTURES, STREAMS: (*OF_PICTURES, "quality", "force", "as_json")}


@dataclass(frozen=True)
class Options:
    """The options of the command, by their names."""

    out: Path
    artifact: Path | None
    backend: str | None
    preset: str
    weights: tuple[str, ...]
    size: str | None
    seed: int
    steps: int | None
    threads: int | None
    jobs: int
    engine: str
    recursive: bool
    format: str | None
    quality: int
    alpha: str
    profile: str
    tile_overlap: int
    faces: bool
    background: Path | None
    raw: str | None
    force: bool
    as_json: bool

    def settings(self) -> Settings:
        """How pictures are restored."""
        from elir_edge.runtime.settings import Settings

        return Settings(self.seed, self.tile_overlap, self.alpha, self.profile, self.quality, self.force)


def kind_of_work(pictures: tuple[Path, ...], options: Options) -> str:
    """``PICTURES``, ``VIDEOS`` or ``STREAMS``: what the arguments of the command are."""
    from elir_edge.imaging.video import CONTAINERS

    if STREAM in pictures or options.raw is not None:
        return STREAMS
    return VIDEOS if any(path.suffix.lower() in CONTAINERS for path in pictures) else PICTURES


def check_options(kind: str, options: Options) -> None:
    """Raise UsageError where options of the command exclude each other, or have no effect on what is restored."""
    from elir_edge.runtime.faces import check_faces

    _refuse_without_effect(kind, options)
    check_faces(options.faces, options.background, options.settings())
    if options.out == STREAM and options.raw is None:
        raise UsageError("only frames go to stdout: -o - needs --raw", hint="name a file or a folder with -o")
    if options.artifact is not None and (is_given("preset") or options.weights or options.size):
        raise UsageError(
            "--artifact brings its own model; leave out --preset, --weights and --size",
            hint="or leave out --artifact to run the PyTorch model",
        )
    if options.artifact is None and options.steps is not None:
        raise UsageError("--steps runs a split artifact", hint="give one with --artifact: elir-edge export --split")
    if options.artifact is None and options.backend not in (None, "torch"):
        raise UsageError(f"--backend {options.backend} runs an artifact", hint="give one with --artifact")


def _refuse_without_effect(kind: str, options: Options) -> None:
    names = WITHOUT_EFFECT[kind] + (("engine",) if options.engine == "ray" and kind != PICTURES else ())
    refuse_given(names, f"no effect on {kind}", hint="leave out what is named")
    if options.faces and options.engine == "ray":
        raise UsageError("--faces runs here, not with --engine ray", hint="leave out one of them")
