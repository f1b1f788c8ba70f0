"""Which tensors of an int8 graph cost the picture: each one rounded alone, and each one left out, in simulation.

python -m benchmarks.quantization_tensors [PRESET] [--sigma 15]     -> benchmarks/results/quantization_tensors.md

Ranges come from the calibration pictures of an export; errors are measured on other photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from elir_edge.cli.shared import Shown
from elir_edge.families.spec import load_spec
from elir_edge.families.weights import load_restorer
from elir_edge.imaging.photographs import EVALUATION, load_photograph
from elir_edge.imaging.pictures import fit_picture
from elir_edge.imaging.pixels import add_noise
from elir_edge.lowering.lower import lower
from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration
from elir_edge.quantize.operators import CONVOLUTIONS, Operators
from elir_edge.quantize.preparation import as_tensors, prepare
from elir_edge.quantize.simulation import Simulation

RESULTS = Path(__file__).parent / "results"
Inputs = Sequence[tuple[Tensor, ...]]


@dataclass(frozen=True)
class Share:
    """Squared error of the picture in units of (1/255)^2, with the tensor ``name`` alone rounded.

    ``low`` and ``high`` are its range.
    """

    name: str
    error: float
    low: float
    high: float


def names_of_operators(graph: StaticRestorer, sample: tuple[Tensor, ...]) -> list[str]:
    """The module and the function of each operator that int8 rounds, in the order of execution."""
    inside, names = [""], []

    def visit(index: int, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        names.append(f"{inside[-1]} {getattr(func, '__name__', func)}")
        return func(*args, **kwargs)

    hooks = []
    for name, module in graph.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: inside.append(name)))
        hooks.append(module.register_forward_hook(lambda *_: inside.pop() and None))
    with torch.no_grad(), Operators(visit):
        graph.values(*sample)
    for hook in hooks:
        hook.remove()
    return names


def squared_error(graph: StaticRestorer, trials: Inputs, expected: Sequence[Tensor], mode: Any) -> float:
    """Mean squared difference from ``expected`` in units of (1/255)^2; ``mode()`` is a context for each run."""
    errors = []
    for sample, wanted in zip(trials, expected, strict=True):
        with torch.no_grad(), mode():
            given = graph.values(*sample)[1]
        errors.append(float((given - wanted).square().mean()) * (255 / graph.pixel_gain) ** 2)
    return float(np.mean(errors))


def shares(
    plain: StaticRestorer, simulation: Simulation, trials: Inputs, expected: Sequence[Tensor], shown: Shown
) -> list[Share]:
    """The tensors that are rounded, each alone; ``plain`` has weights that no rounding changes."""
    names = names_of_operators(plain, trials[0])
    found = []
    with shown.stage("one tensor at a time", len(names)) as advance:
        for index, name in enumerate(names):
            advance(1)
            if index not in simulation.rectified:
                error = squared_error(plain, trials, expected, lambda index=index: simulation.active({index}))
                found.append(Share(name, error, *simulation.ranges[index]))
    return found


def table(rows: Sequence[Share], whole: dict[str, float]) -> str:
    """The figures as Markdown, the largest first."""
    lines = ["| rounded | squared error, (1/255)^2 | range |", "|---|---|---|"]
    lines += [f"| **{name}** | {error:.4f} | |" for name, error in whole.items()]
    ordered = sorted(rows, key=lambda row: -row.error)
    lines += [f"| {row.name} | {row.error:.4f} | {row.low:.3g} to {row.high:.3g} |" for row in ordered]
    return "\n".join(lines) + "\n"


def _prepared_graphs(
    preset: str, weights: str | None, size: int, shown: Shown
) -> tuple[StaticRestorer, StaticRestorer, Any]:
    """(float graph, the same with int8 weights, inputs of the calibration pictures)."""
    spec = load_spec(preset)
    restorer = load_restorer(spec, weights or spec.weights, shown)
    calibration = gather_calibration(CalibrationRequest(), spec, size, size)
    graph = lower(restorer, size, "baked:0", "uint8", "NHWC")
    feeds = calibration.feeds(graph.form, spec)
    rounded = prepare(graph, feeds, shown)
    return graph, rounded, [as_tensors(feed) for feed in feeds]


def _trials(size: int, sigma: float) -> Inputs:
    rng = np.random.default_rng(1)
    pictures = [fit_picture(load_photograph(photograph), size, size) for photograph in EVALUATION]
    noisy = [add_noise(picture, sigma, rng) if sigma else picture for picture in pictures]
    return [(torch.from_numpy(picture[None]),) for picture in noisy]


@click.command()
@click.argument("preset", default="nano")
@click.option("--weights", "-w", help="Default: the preset's own.")
@click.option("--sigma", default=15.0, show_default=True, help="Noise of the pictures that the errors are measured on.")
@click.option("--size", default=128, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(preset: str, weights: str | None, sigma: float, size: int, out: Path) -> None:
    """Measure, and write quantization_tensors.md."""
    shown = Shown()
    graph, rounded, calibration = _prepared_graphs(preset, weights, size, shown)
    trials = _trials(size, sigma)
    with torch.no_grad():
        expected = [graph.values(*sample)[1] for sample in trials]
    simulation = Simulation.observe(graph, calibration)
    convolutions = frozenset(
        index for index, name in enumerate(names_of_operators(graph, trials[0]))
        if name.split()[-1] in {function.__name__ for function in CONVOLUTIONS}
    )  # fmt: skip
    with torch.no_grad():
        unclipped = [rounded.values(*sample)[1] for sample in trials]
    whole = {
        "everything": squared_error(rounded, trials, expected, simulation.active),
        "weights": squared_error(rounded, trials, expected, lambda: simulation.active(())),
        "activations": squared_error(rounded, trials, unclipped, simulation.active),
        "outputs of convolutions": squared_error(rounded, trials, unclipped, lambda: simulation.active(convolutions)),
    }
    text = table(shares(rounded, simulation, trials, unclipped, shown), whole)
    out.mkdir(parents=True, exist_ok=True)
    (out / "quantization_tensors.md").write_text(f"# {preset}, noise {sigma:g}\n\n{text}", encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
