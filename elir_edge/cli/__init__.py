"""The command line. Each command is one file, imported when it is called for."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
import traceback
from typing import Any

import click

from elir_edge.errors import ElirEdgeError, did_you_mean, is_memory_error

COMMANDS = {
    "bench": "Time artifacts on this machine, beside PyTorch.",
    "compile": "Compile an artifact for an NPU, offline.",
    "degrade": "Show what a task does to a picture.",
    "devices": "What this machine can run artifacts on.",
    "evaluate": "Measure a model on photographs: PSNR, SSIM, a contact sheet.",
    "export": "Write an artifact: ONNX, OpenVINO, TFLite, ExecuTorch, Core ML, web.",
    "fit": "Say whether a model fits a device, before any work.",
    "inspect": "Say what an artifact is.",
    "lower": "Show what the lowered graph costs, and what each rewrite saves.",
    "package": "Write a folder that runs an artifact in a C, C++ or Android program.",
    "presets": "List the models that come with the package.",
    "restore": "Restore pictures.",
    "targets": "List the formats to export to.",
    "train": "Train a model by a recipe.",
    "validate": "Compare an artifact with the PyTorch model.",
    "verify": "Let an artifact test itself: golden input, golden output.",
}
INTERRUPTED, TERMINATED = 130, 143


class LazyGroup(click.Group):
    """Knows its commands by name and help line; imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All command names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called ``cmd_name``. Raises click.UsageError, naming the nearest, where there is none."""
        if cmd_name not in COMMANDS:
            raise click.UsageError(f"there is no command '{cmd_name}': {did_you_mean(cmd_name, COMMANDS)}")
        command: click.Command = importlib.import_module(f"elir_edge.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="elir-edge", prog_name="elir-edge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def group(debug: bool) -> None:
    """Few-step latent flow restoration models, from a PyTorch checkpoint to artifacts that run on small devices."""


def main() -> None:
    """Run the command line and exit with a status that docs/export.md lists."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line on ``arguments`` and return the exit status: 0, or that of the error, told on stderr."""
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        result = group.main(arguments, prog_name="elir-edge", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted; nothing was left half done")
        return INTERRUPTED
    except _Terminated:
        _say("terminated; nothing was left half done")
        return TERMINATED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        _close_stdout()
        return 0
    except SystemExit as exit_:
        if type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # click's way of meeting a closed pipe
            return 0
        return exit_.code if isinstance(exit_.code, int) else 0
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return _report(error)
    finally:
        signal.signal(signal.SIGTERM, previous)


class _Terminated(BaseException):
    """SIGTERM came: unwind, so that temporary files go."""


def _terminate(number: int, frame: Any) -> None:
    raise _Terminated


def _report(error: Exception) -> int:
    if isinstance(error, ElirEdgeError):
        _say(f"{error}" + (f"\n  -> {error.hint}" if error.hint else ""))
        return error.exit_code
    if is_memory_error(error):
        _say("not enough memory\n  -> use a smaller --size, or close other programs")
        return 71
    if isinstance(error, OSError):
        _say(f"{error.filename or 'input or output'}: {error.strerror or error}")
        return 66 if error.errno in (errno.ENOENT, errno.ENAMETOOLONG) else 74
    _say(f"a bug in elir-edge: {type(error).__name__}: {error}\n  -> run again with --debug first, and report it")
    return 70


def _say(text: str) -> None:
    click.echo(f"elir-edge: {text}", err=True)


def _close_stdout() -> None:
    """Keep Python from complaining about a closed pipe while it shuts down."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
