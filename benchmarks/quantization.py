"""Stock int8 quantizers at their defaults beside ours, by format and by photograph.

python -m benchmarks.quantization [PRESET]     -> benchmarks/results/quantization_PRESET.{md,json}

Measured on the six evaluation photographs, which no calibration uses, with noise of 25 and 50 and with the task's own
degradation. Also: the gain of each part of our preparation (TFLite), the spread over calibration seeds, and the time
per picture, taking turns with PyTorch eager in one run.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import click

from benchmarks.quantization_report import as_json, markdown
from benchmarks.quantization_study import FORMATS, LEFT_OUT, Contender, Study
from benchmarks.stock_quantizers import STOCK
from elir_edge.bench.measure import Contestant, measure
from elir_edge.bench.results import Row
from elir_edge.bench.sweep import EAGER, torch_contestant
from elir_edge.cli.shared import Shown
from elir_edge.families.spec import load_spec
from elir_edge.families.weights import load_restorer
from elir_edge.quantize.nncf_ir import NO_TELEMETRY
from elir_edge.runtime.mode import Mode

RESULTS = Path(__file__).parent / "results"


@click.command()
@click.argument("preset", default="nano")
@click.option("--weights", "-w", help="Default: the preset's own.")
@click.option("--rounds", type=click.IntRange(2), default=5, show_default=True, help="Of the timing.")
@click.option("--threads", type=click.IntRange(1), help="Default: all cores.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Calibrations of the TFLite form.")
@click.option("--tune-steps", type=click.IntRange(0), default=200, show_default=True, help="Of --tune; 0: without.")
@click.option("--parts/--no-parts", default=True, help="What each part of the preparation is worth, too.")
@click.option("--reuse", is_flag=True, help="Take what an earlier run left in --folder.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/quantization"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(
    preset: str,
    weights: str | None,
    rounds: int,
    threads: int | None,
    seeds: int,
    tune_steps: int,
    parts: bool,
    reuse: bool,
    folder: Path,
    out: Path,
) -> None:
    """Quantize, compare, time, and write quantization_PRESET.md and quantization_PRESET.json."""
    os.environ.setdefault(NO_TELEMETRY, "1")
    shown, spec = Shown(), load_spec(preset)
    chosen = weights or spec.weights
    if chosen is None:
        raise click.UsageError(f"the preset '{preset}' has no weights of its own: give some with --weights")
    study = Study(load_restorer(spec, chosen, shown), folder / spec.name, reuse, shown)
    contenders = [study.stock(name) for name in STOCK] + [study.ours(target) for target in FORMATS]
    ablation = [study.ours("tflite"), *(study.without(left_out) for left_out in LEFT_OUT)] if parts else []
    tuned = [study.ours(target, tune_steps=steps) for target in FORMATS for steps in (0, tune_steps)] * bool(tune_steps)
    calibrations = [study.ours("tflite", seed) for seed in range(seeds)]
    rows = _time(study, contenders, [chosen], rounds, threads)
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(study, contenders, ablation, tuned, calibrations, rows)
    (out / f"quantization_{spec.name}.md").write_text(text, encoding="utf-8")
    (out / f"quantization_{spec.name}.json").write_text(
        as_json(study, contenders, [*ablation, *tuned], calibrations, rows), encoding="utf-8"
    )
    click.echo(text)


def _time(study: Study, contenders: list[Contender], weights: list[str], rounds: int, threads: int | None) -> list[Row]:
    """Measure all contenders without an error, taking turns with PyTorch eager."""
    manifest = study.float_artifact("tflite").manifest
    field = [torch_contestant(manifest, EAGER, weights, threads)]
    for item in contenders:
        if item.error is None:
            row = Row(item.label, manifest.graph["gflop"], size_bytes=item.size_bytes)
            request = {"kind": "artifact", "path": str(item.path), "backend": item.backend, "threads": threads}
            field.append(Contestant(row, request | {"mode": dataclasses.asdict(Mode()), "size": manifest.size}))
    return measure(field, rounds, study.shown, threads=threads).rows


if __name__ == "__main__":
    main()
