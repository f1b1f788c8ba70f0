"""How fast the fp32 artifacts run beside PyTorch: one process, interleaved rounds, medians and ratios.

python -m benchmarks.inference [PRESET ...]     -> benchmarks/results/inference.md
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np
import torch

from benchmarks.machine import describe_machine
from elir_edge import export, load_restorer, open_session
from elir_edge.model.restorer import Restorer
from elir_edge.runtime import backends_for
from elir_edge.runtime.base import Session
from elir_edge.target import targets

RESULTS = Path(__file__).parent / "results"
WARM_UP, ROUNDS = 2, 9


def seconds_of(session: Session, image: np.ndarray) -> float:
    """Wall time of one picture."""
    start = time.perf_counter()
    session.run({"image": image})
    return time.perf_counter() - start


def measure(preset: str, stack: ExitStack) -> dict[str, list[float]]:
    """Seconds a picture for PyTorch eager and every target in every backend, round by round."""
    restorer = load_restorer(preset, "random:0")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    sessions: dict[str, Session] = {}
    for target in targets():
        path = export(restorer, target, out=folder).path
        for backend in backends_for(path):
            sessions[f"{target} in {backend.name}"] = stack.enter_context(open_session(path, backend.name))
    random = np.random.default_rng(0)
    images = {name: random.random(session.inputs[0].shape, dtype=np.float32) for name, session in sessions.items()}
    eager = torch.from_numpy(random.random((1, 3, restorer.spec.size, restorer.spec.size), dtype=np.float32))
    times: dict[str, list[float]] = {"PyTorch eager": [], **{name: [] for name in sessions}}
    for _ in range(WARM_UP + ROUNDS):
        times["PyTorch eager"].append(_eager_seconds(restorer, eager))
        for name, session in sessions.items():
            times[name].append(seconds_of(session, images[name]))
    return {name: values[WARM_UP:] for name, values in times.items()}


def _eager_seconds(restorer: Restorer, image: torch.Tensor) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        restorer(image)
    return time.perf_counter() - start


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Medians, spread and ratios as Markdown."""
    lines = [
        "# Seconds a picture, fp32, batch 1",
        "",
        f"Median of {ROUNDS} interleaved rounds in one process, quartiles in brackets; ratio to PyTorch eager: the",
        "median of the ratios within each round. Stand-in weights: speed does not depend on them.",
        "",
        "| preset | what runs | seconds | times as fast as eager |",
        "|---|---|---|---|",
    ]
    for preset, times in results.items():
        for name, values in times.items():
            low, median, high = statistics.quantiles(values, n=4)
            ratio = statistics.median(e / v for e, v in zip(times["PyTorch eager"], values, strict=True))
            lines.append(f"| {preset} | {name} | {median:.3f} [{low:.3f}, {high:.3f}] | {ratio:.2f} |")
    return "\n".join([*lines, "", describe_machine(), ""])


@click.command()
@click.argument("presets", nargs=-1)
def main(presets: tuple[str, ...]) -> None:
    """Measure PRESETS (nano and sr unless told otherwise)."""
    results = {}
    for preset in presets or ("nano", "sr"):
        with ExitStack() as stack:
            results[preset] = measure(preset, stack)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "inference.md").write_text(table(results))
    click.echo(table(results))


if __name__ == "__main__":
    main()
