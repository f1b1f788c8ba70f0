"""The command line. Each command is one file, imported when it is called for."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click

from elir_edge.cli.telling import HUNG_UP, INTERRUPTED, TERMINATED, report, report_end, show
from elir_edge.core.memory import peak_of_children
from elir_edge.core.streams import open_what_is_closed, silence
from elir_edge.core.watch import can_watch, once, watch
from elir_edge.errors import did_you_mean

COMMANDS = {
    "bench": "Time artifacts on this machine, beside PyTorch.",
    "compile": "Compile an artifact for an NPU, offline.",
    "degrade": "Show what a task does to a picture.",
    "demo": "Serve a page for trying artifacts by hand.",
    "devices": "What this machine can run artifacts on.",
    "evaluate": "Measure a model on photographs: PSNR, SSIM, a contact sheet.",
    "export": "Write an artifact: ONNX, OpenVINO, TFLite, ExecuTorch, Core ML, web.",
    "fit": "Say whether a model fits a device, before any work.",
    "inspect": "Say what an artifact is.",
    "lower": "Show what the lowered graph costs, and what each rewrite saves.",
    "package": "Write a folder that runs an artifact in a C, C++ or Android program.",
    "presets": "List the models that come with the package.",
    "restore": "Restore pictures.",
    "sensitivity": "Estimate which tensors of the int8 form cost the picture.",
    "targets": "List the formats to export to.",
    "train": "Train a model by a recipe.",
    "validate": "Compare an artifact with the PyTorch model.",
    "verify": "Let an artifact test itself: golden input, golden output.",
}
NATIVE = (
    "bench",
    "compile",
    "demo",
    "evaluate",
    "export",
    "lower",
    "package",
    "restore",
    "sensitivity",
    "train",
    "validate",
    "verify",
)
# PyTorch's threads sleep while they wait. On two cores that others use, nano takes 0.3 s then, 2.0 s if they spin; on
# idle ones there is no difference.
SHARING = {"OMP_WAIT_POLICY": "passive"}
# Lightning starts processes by the path of a script, whose folder must not come first: its modules are no packages.
SEVERAL_DEVICES = {"PYTHONSAFEPATH": "1"}


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
    """Run the command line and exit with the status that docs/export.md lists.

    What loads native code does so in a process that this one watches: a crash there still ends in a message here.
    """
    open_what_is_closed()
    arguments = sys.argv[1:]
    command = _command_in(arguments)
    further = command == "train" and "LOCAL_RANK" in os.environ  # Lightning started it beside the watched process
    if can_watch() and not further and command in NATIVE and not {"-h", "--help"} & set(arguments):
        sys.exit(_watch_run(arguments))
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run the command line on ``arguments`` and return the exit status: 0, or that of the error, told on stderr."""
    signals = {"SIGINT": KeyboardInterrupt(), "SIGTERM": _Ended(TERMINATED), "SIGHUP": _Ended(HUNG_UP)}
    with once(signals) as heard:
        try:
            result = group.main(arguments, prog_name="elir-edge", standalone_mode=False, obj=heard)
            return result if isinstance(result, int) else 0
        except click.exceptions.Exit as exit_:
            return exit_.exit_code
        except (click.Abort, KeyboardInterrupt):
            return report_end(INTERRUPTED)
        except _Ended as ended:
            return report_end(ended.status)
        except click.ClickException as error:
            show(error)
            return error.exit_code
        except BrokenPipeError:
            silence(sys.stdout.fileno())  # else Python complains about it while it shuts down
            return 0
        except SystemExit as exit_:
            if type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # click's way of meeting a closed pipe
                return 0
            return exit_.code if isinstance(exit_.code, int) else 0
        except Exception as error:
            return _report_failure(error, heard.number, "--debug" in arguments)


def _report_failure(error: Exception, signal_heard: int | None, debug: bool) -> int:
    """The exit status. A native module that a signal interrupts while it is imported fails with an error of its own."""
    if signal_heard is not None:
        return report_end(128 + signal_heard)
    if debug:
        traceback.print_exc()
    return report(error)


def _command_in(arguments: list[str]) -> str:
    return next((argument for argument in arguments if not argument.startswith("-")), "")


def _watch_run(arguments: list[str]) -> int:
    from elir_edge.cli.died import how_it_died, sweep_outputs

    sweep_outputs(arguments)
    command = _command_in(arguments)
    asked = {} if command == "bench" else SHARING  # bench times PyTorch as its users have it
    asked = asked | SEVERAL_DEVICES if command == "train" else asked
    environment = {name: value for name, value in asked.items() if name not in os.environ}
    ending = watch(f"{__name__}:run", arguments, environment)
    if ending.meant is not None:
        return ending.meant
    sweep_outputs(arguments)
    if ending.asked is not None:
        return report_end(128 + ending.asked)
    return report(how_it_died(ending, arguments), peak_of_children())


class _Ended(BaseException):
    """A signal came: unwind, so that temporary files go."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


if __name__ == "__main__":
    main()
