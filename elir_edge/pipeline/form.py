"""The target and the form of an export, checked against the model's specification alone: before weights are read."""

from __future__ import annotations

from elir_edge.artifacts.signature import GraphForm, parse_size
from elir_edge.errors import UsageError
from elir_edge.families.spec import ModelSpec
from elir_edge.imaging.noise import NoiseContract
from elir_edge.pipeline.split import split_target
from elir_edge.pipeline.target import Target, get_target, targets


def choose_target(name: str, precision: str, split: bool = False) -> Target:
    """The target ``name``, in its split form with ``split``. Raises UsageError where it lacks that or ``precision``."""
    target = split_target(get_target(name)) if split else get_target(name)
    if precision not in target.precisions:
        raise UsageError(
            f"the target '{name}' has no precision '{precision}'{' for split artifacts' if split else ''}",
            hint=f"it offers {', '.join(target.precisions)}{_elsewhere(precision)}",
        )
    return target


def form_of(
    spec: ModelSpec,
    target: Target,
    precision: str,
    size: int | str | tuple[int, int] | None,
    noise: str,
    io: str | None,
) -> GraphForm:
    """The form of the graph of ``spec``, as ``export`` takes its options.

    Raises UsageError for what ``target`` does not offer, ConfigError for a size that the network cannot take.
    """
    ios = target.ios(precision)
    if io is not None and io not in ios:
        raise UsageError(
            f"io '{io}' is not one of {', '.join(ios)} for {target.name} at {precision}",
            hint="choose one of these with --io",
        )
    io = io or ios[0]
    contract = NoiseContract.parse(noise)
    if contract.mode == "input" and precision in target.bytes_only and spec.takes_noise:
        words = f"{target.name} at {precision} has no inputs besides the uint8 image: noise cannot be one"
        raise UsageError(words, hint="use --noise baked:SEED or zero")
    height, width = parse_size(size, spec)
    return GraphForm(height, width, contract, io, target.layouts[io], target.latent_layout)


def _elsewhere(precision: str) -> str:
    """The targets that offer ``precision``, for a hint; empty where none does."""
    able = [target.name for target in targets().values() if precision in target.precisions]
    return f"; {precision} is offered by --target {', '.join(able)}" if able else ""
