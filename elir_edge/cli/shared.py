"""Options and ways of showing that several commands share."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import click

from elir_edge.core.plain import finite
from elir_edge.core.progress import Advance
from elir_edge.core.streams import Remarks
from elir_edge.core.watch import Heard
from elir_edge.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from elir_edge.artifacts.artifact import Artifact
    from elir_edge.families.restorer import Restorer

F = TypeVar("F", bound=Callable[..., Any])


class FilePath(click.Path):
    """A path as the user wrote it; whether it can be read is told by whoever reads it, with the reason."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, readable=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A Path. An empty one would be the current folder, which nobody means by it."""
        if value in ("", b""):
            self.fail("the name is empty; '.' is the current folder", param, ctx)
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A number in a range, which NaN is not, although no comparison says so."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A float in the range."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number", param, ctx)
        return number


PATH = FilePath()

preset_option = click.option(
    "--preset", "-p", default="nano", show_default=True, help="Preset, or the path of a model's YAML file."
)
weights_option = click.option(
    "--weights",
    "-w",
    multiple=True,
    help="Checkpoint: path, URL, elir:TASK or random:SEED; twice for an autoencoder's two files. "
    "Default: the preset's own.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")
size_option = click.option("--size", "-s", help="Image size in pixels: SIDE or HEIGHTxWIDTH. Default: the preset's.")
noise_option = click.option(
    "--noise", default="baked:0", show_default=True, help="The flow's noise: baked:SEED, input or zero."
)
io_option = click.option(
    "--io", help="Pictures as float [0, 1] or uint8 0..255, in and out. Default: float; uint8 for an int8 .tflite."
)


def task_option(text: str) -> Callable[[F], F]:
    """--task of commands that degrade pictures; ``text`` is its help."""
    return click.option("--task", "-t", default="restoration", callback=check_task, show_default=True, help=text)


def check_task(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The callback of --task. Raises UsageError for a name that no degradation has."""
    from elir_edge.imaging.degradations import find_degradation

    try:
        if value is not None:
            find_degradation(value)
    except ConfigError as error:
        raise UsageError(str(error), hint=error.hint) from error
    return value


def model_options(function: F) -> F:
    """--preset and --weights."""
    return preset_option(weights_option(function))


def form_options(function: F) -> F:
    """--size, --noise and --io."""
    return size_option(noise_option(io_option(function)))


class Shown:
    """Progress on stderr: a spinner or a bar while a stage runs, a line when it has ended; plain lines in a pipe."""

    def __init__(self) -> None:
        from rich.console import Console

        stream = Remarks(os.dup(2), getattr(sys.stderr, "encoding", None) or "ascii")
        self._console = Console(file=cast(IO[str], stream), highlight=False)
        context = click.get_current_context(silent=True)
        self._heard = context.find_object(Heard) if context is not None else None

    @contextmanager
    def stage(self, text: str, total: float | None = None) -> Iterator[Advance]:
        """Show ``text`` with the time it takes; a bar where ``total`` is more than one unit."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        bar = [BarColumn(), TextColumn("{task.percentage:.0f}%")] if total and total > 1 else []
        columns = [SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), *bar, TimeElapsedColumn()]
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(text, total=total or 1)
            self._end_if_asked()
            yield lambda amount: progress.advance(task, amount)
            self._end_if_asked()
            progress.update(task, completed=total or 1)

    @contextmanager
    def counter(self, text: str, total: int | None) -> Iterator[Advance]:
        """Show how many of ``total`` things are done, how many a second, and the time left; None: nobody knows."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        rate = TextColumn("{task.fields[rate]}")
        done = TextColumn("{task.fields[done]}" + ("" if total is None else " of {task.total}"))
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            done,
            rate,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        ]
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(text, total=total, rate="", done="0")

            def advance(amount: float) -> None:
                self._end_if_asked()
                progress.advance(task, amount)
                speed, done = progress.tasks[task].speed, progress.tasks[task].completed
                progress.update(
                    task, rate="" if speed is None else f"{speed:.3g}/s", done=f"{done:.1f}".removesuffix(".0")
                )

            yield advance
            self._end_if_asked()

    def note(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _end_if_asked(self) -> None:
        if self._heard is not None:
            self._heard.raise_again()


def load_model(preset: str, weights: Sequence[str], progress: Shown, size: str | None = None) -> Restorer:
    """The model of --preset and --weights, with a warning where its weights are stand-ins.

    Raises ConfigError before its own weights are read where the model cannot take ``size``, the --size of the command.
    """
    from elir_edge.artifacts.signature import parse_size
    from elir_edge.families.spec import load_spec
    from elir_edge.runtime.backend import TORCH, get_backend

    get_backend(TORCH).load()
    if not weights:  # which may bring another specification with them
        parse_size(size, load_spec(preset))
    from elir_edge.families.weights import load_restorer

    with progress.stage("loading the model"):
        restorer = load_restorer(preset, list(weights) or None, progress)
    if restorer.source is not None and not restorer.trained:
        progress.note(f"note: the weights are random stand-ins ({restorer.source.name}); pictures will mean nothing")
    return restorer


def is_given(option: str) -> bool:
    """Whether the user gave ``option`` himself, rather than leaving it at its default."""
    source = click.get_current_context().get_parameter_source(option)
    return source is not click.core.ParameterSource.DEFAULT


def refuse_given(names: Sequence[str], why: str, hint: str) -> None:
    """Raise UsageError where the user gave any of the parameters called ``names``: which, ``why``, ``hint``."""
    parameters = click.get_current_context().command.params
    given = [parameter.opts[0] for parameter in parameters if parameter.name in names and is_given(parameter.name)]
    if given:
        raise UsageError(f"{', '.join(given)}: {why}", hint=hint)


def model_of(artifact: Artifact, weights: Sequence[str], progress: Shown) -> Restorer:
    """The PyTorch model that an artifact was made from. Raises UsageError where its weights are not at hand."""
    from elir_edge.families.weights import load_restorer

    stated = artifact.manifest.weights
    if not weights and not artifact.manifest.names_its_weights:
        raise UsageError(
            f"{artifact.path} was made from '{stated['name']}' (sha256 {stated['sha256'][:12]}...), not at hand here",
            hint="give that checkpoint with --weights",
        )
    with progress.stage("loading the model"):
        return load_restorer(artifact.manifest.model_spec(), list(weights) or str(stated["name"]), progress)


def open_artifact(path: Path, progress: Shown, backend: str | None = None) -> Artifact:
    """An artifact whose files match the manifest beside it, which has to be the one inside; else its own manifest.

    A damaged file can crash a runtime: what no hash vouches for is first loaded and run in a process of its own.
    """
    from elir_edge.artifacts.artifact import Artifact, is_there, load_artifact, sidecar
    from elir_edge.formats.embedded import check_agreement
    from elir_edge.runtime.probe import probe

    if sidecar(path).is_file() or not is_there(path):
        artifact = load_artifact(path)
        check_agreement(path, artifact.manifest)
        return artifact
    progress.note(f"note: no manifest beside {path}; its content is not vouched for")
    return Artifact(path, probe(path, backend), fresh=False)


def echo_json(data: Any) -> None:
    """``data`` as indented JSON on stdout."""
    click.echo(json.dumps(finite(data), indent=2, ensure_ascii=False, default=str, allow_nan=False))


def echo_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table on stdout, columns aligned."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in lines) for i in range(len(head))]
    for row in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
