"""int8 by the ecosystem's quantizers at their defaults beside ours, format by format, photograph by photograph.

python -m benchmarks.quantization [PRESET]     -> benchmarks/results/quantization.{md,json}

Judged on the six evaluation photographs, none of which any calibration sees, with noise of 25 and 50 and with the
task's own degradation. Also: what each part of our preparation is worth (TFLite), the spread of calibration seeds, and
the time per picture of all, taking turns with PyTorch eager in one run.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np

from benchmarks.stock_quantizers import STOCK
from elir_edge.artifacts.artifact import Artifact, load_artifact
from elir_edge.artifacts.signature import GraphForm
from elir_edge.bench.machine import describe_machine
from elir_edge.bench.measure import Contestant, measure
from elir_edge.bench.results import Row
from elir_edge.bench.sweep import EAGER, torch_contestant
from elir_edge.cli.shared import Shown
from elir_edge.core.native import captured_output
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import load_spec
from elir_edge.families.weights import load_restorer
from elir_edge.imaging.comparison import compare, picture_psnr
from elir_edge.imaging.degradations import find_degradation
from elir_edge.imaging.noise import NoiseContract
from elir_edge.imaging.photographs import EVALUATION, load_photograph
from elir_edge.imaging.pictures import fit_picture
from elir_edge.imaging.pixels import add_noise
from elir_edge.lowering.lower import lower
from elir_edge.lowering.lower import measure as measure_graph
from elir_edge.lowering.static import StaticRestorer
from elir_edge.pipeline.export import export
from elir_edge.pipeline.target import Conversion, get_target
from elir_edge.quantize import litert_static
from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration, task_of
from elir_edge.quantize.equalize import equalize
from elir_edge.quantize.nncf_ir import NO_TELEMETRY
from elir_edge.quantize.plan import Quantization
from elir_edge.quantize.preparation import Feeds, as_tensors
from elir_edge.quantize.rounding import round_weights
from elir_edge.quantize.tune import TuneBudget
from elir_edge.runtime.mode import Mode
from elir_edge.runtime.restore import run_picture
from elir_edge.runtime.session import open_session
from elir_edge.validation.reference import picture_of, reference_trajectory

RESULTS = Path(__file__).parent / "results"
FORMATS = {"tflite": "litert", "openvino": "openvino", "onnx": "onnxruntime"}
NOISE = "baked:0"
SIGMAS = (25, 50)
DRAW = 2000
ALLOWED_SPREAD_DB = 0.05
EQUALIZATION, ROUNDING, RANGES = "equalization", "compensated rounding", "least-squared ranges"
MEANS = "stage means"
PARTS = (EQUALIZATION, ROUNDING, RANGES, MEANS)
LEFT_OUT = (*((part,) for part in PARTS), PARTS, ())
LABELS = {PARTS: "without all of these", (): "with 16-bit latents in any case"}


@dataclass(frozen=True)
class Trial:
    """One degraded picture, its original, and what PyTorch fp32 makes of it (float, and rounded to bytes)."""

    degraded: np.ndarray
    original: np.ndarray
    references: Mapping[str, np.ndarray]
    reference_db: float


@dataclass(frozen=True)
class Figures:
    """Of one picture: dB lost against the original, dB to PyTorch fp32, largest mean shift of a colour in 1/255."""

    drop_db: float
    psnr_db: float
    shift: float


@dataclass(frozen=True)
class Contender:
    """An artifact in the table; ``pictures`` by the names of the trials; ``error`` where it could not be made."""

    label: str
    path: Path
    backend: str
    size_bytes: int = 0
    pictures: dict[str, Figures] = field(default_factory=dict)
    error: str | None = None

    @property
    def mean_drop_db(self) -> float:
        """Over all pictures."""
        return float(np.mean([figures.drop_db for figures in self.pictures.values()]))

    def summary(self) -> tuple[str, ...]:
        """Mean and worst drop, mean and least dB to fp32, the largest shift: cells of a table."""
        figures = self.pictures.values()
        near = [item.psnr_db for item in figures]
        return (
            f"{self.mean_drop_db:.3f}",
            f"{max(item.drop_db for item in figures):.3f}",
            f"{np.mean(near):.1f}",
            f"{min(near):.1f}",
            f"{max(item.shift for item in figures):.2f}",
        )


class Study:
    """One model, its calibration pictures and its trials; makes contenders in ``folder``."""

    def __init__(self, restorer: Restorer, folder: Path, reuse: bool, shown: Shown) -> None:
        self.restorer, self.folder, self.reuse, self.shown = restorer, folder, reuse, shown
        self.side = restorer.spec.size
        self.calibration = gather_calibration(CalibrationRequest(), restorer.spec, self.side, self.side)
        self.trials = self._trials()
        self._done: dict[Path, Artifact] = {}
        self._prepared_stems: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def ours(self, target: str, seed: int = 0, tune_steps: int = 0) -> Contender:
        """Exported as the command does it, below the gate too."""
        budget = TuneBudget(steps=tune_steps) if tune_steps else None
        quantization = Quantization(CalibrationRequest(seed=seed), budget, allow_degraded=True)
        stem = f"ours-seed{seed}" + f"-tuned{tune_steps}" * bool(tune_steps)
        artifact = self._exported(self.folder / f"{stem}{get_target(target).suffixes[0]}", target, "int8", quantization)
        more = f", seed {seed}" * bool(seed) + f", --tune-steps {tune_steps}" * bool(tune_steps)
        return self._judged(f"ours, {target}{more}", artifact.path, FORMATS[target])

    def stock(self, name: str) -> Contender:
        """A stock quantizer on our fp32 artifact."""
        target, backend, quantize = STOCK[name]
        source = self.float_artifact(target)
        out = self.folder / f"stock-{name.lower().replace(', ', '-')}{source.path.suffix}"
        form = _form(self.side, target, "float")

        def make() -> None:
            with captured_output():
                quantize(source.path, self.calibration.feeds(form, self.restorer.spec), out)
            get_target(target).embed(out, dataclasses.replace(source.manifest, files={}).to_json())

        return self._made(f"stock: {name}", out, backend, make)

    def float_artifact(self, target: str) -> Artifact:
        """fp32, floats in and out."""
        return self._exported(self.folder / f"fp32{get_target(target).suffixes[0]}", target, "fp32", None)

    def without(self, left_out: tuple[str, ...]) -> Contender:
        """TFLite int8 without some of ``PARTS``; with none left out, its latent sums at 16 bits whatever they cost."""
        label = LABELS.get(left_out) or f"without {', '.join(left_out)}"
        out = self.folder / f"{label.replace(' ', '-').replace(',', '')}.tflite"
        template = self.ours("tflite")

        def make() -> None:
            out.write_bytes(self._tflite_without(left_out))
            manifest = load_artifact(template.path).manifest
            get_target("tflite").embed(out, dataclasses.replace(manifest, files={}).to_json())

        return self._made(label, out, FORMATS["tflite"], make)

    def _tflite_without(self, left_out: tuple[str, ...]) -> bytes:
        form = _form(self.side, "tflite", "uint8")
        feeds = self.calibration.feeds(form, self.restorer.spec)
        graph = lower(
            self.restorer, self.side, NOISE, "uint8", form.layout, form.latent_layout, get_target("tflite").norm
        )
        stages = graph.output_names()
        method = "minmax" if RANGES in left_out else "mse"
        core = self._prepared(graph, feeds, EQUALIZATION not in left_out, ROUNDING not in left_out)
        gflop = measure_graph("int8", graph).gflop if left_out else math.inf
        kept = _unchanged if MEANS in left_out else litert_static.correct_stages
        with patch.object(litert_static, "correct_stages", kept):
            data = core.read_bytes()
            return litert_static.quantize_tflite(data, feeds, stages, self.shown, method=method, gflop=gflop)

    def _prepared(self, graph: StaticRestorer, feeds: Feeds, equalized: bool, rounded: bool) -> Path:
        """The float graph that the quantizer gets; made once for each way to prepare it."""
        stem = f"float{'-equalized' * equalized}{'-rounded' * rounded}"
        path = self.folder / f"{stem}.tflite"
        if stem not in self._prepared_stems and not (self.reuse and path.is_file()):
            if equalized:
                equalize(graph, feeds)
            if rounded:
                round_weights(graph, [as_tensors(feed) for feed in feeds], self.shown)
            get_target("tflite").convert(graph, Conversion(self.folder, stem, "fp32", self.shown))
        self._prepared_stems.add(stem)
        return path

    def _exported(self, path: Path, target: str, precision: str, quantization: Quantization | None) -> Artifact:
        if path not in self._done:
            self.shown.note(f"exporting {path.name}")
            self._done[path] = export(
                self.restorer, target, precision, noise=NOISE, out=path, force=not self.reuse,
                progress=self.shown, quantization=quantization,
            )  # fmt: skip
        return self._done[path]

    def _made(self, label: str, path: Path, backend: str, make: Callable[[], None]) -> Contender:
        if not (self.reuse and path.is_file()):
            try:
                with self.shown.stage(label):
                    make()
            except Exception as error:  # a stock quantizer raises anything; the reason must reach the table
                path.unlink(missing_ok=True)
                return Contender(label, path, backend, error=f"{type(error).__name__}: {error}".splitlines()[0])
        return self._judged(label, path, backend)

    def _judged(self, label: str, path: Path, backend: str) -> Contender:
        pictures = {}
        with open_session(path, backend) as session:
            for name, trial in self.trials.items():
                pictures[name] = _figures(run_picture(session, trial.degraded), trial)
        files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
        return Contender(label, path, backend, sum(file.stat().st_size for file in files), pictures)

    def _trials(self) -> dict[str, Trial]:
        rng = np.random.default_rng(DRAW)
        task = find_degradation(task_of(self.restorer.spec))
        trials = {}
        with self.shown.stage("what PyTorch makes of the pictures", len(EVALUATION)) as advance:
            for photograph in EVALUATION:
                original = fit_picture(load_photograph(photograph), self.side, self.side)
                for sigma in SIGMAS:
                    trials[f"{photograph.name}, noise {sigma}"] = self._trial(original, add_noise(original, sigma, rng))
                trials[f"{photograph.name}, {task.name}"] = self._trial(original, task.apply(original, rng))
                advance(1)
        return trials

    def _trial(self, original: np.ndarray, degraded: np.ndarray) -> Trial:
        restored = reference_trajectory(self.restorer, degraded, NoiseContract.parse(NOISE)).restored
        references = {"float32": picture_of(restored, "float"), "uint8": picture_of(restored, "uint8")}
        return Trial(degraded, original, references, picture_psnr(references["float32"], original))


def _unchanged(data: bytes, *_: object) -> bytes:
    return data


def _form(side: int, target: str, io: str) -> GraphForm:
    found = get_target(target)
    return GraphForm(side, side, NoiseContract.parse(NOISE), io, found.layouts[io], found.latent_layout)


def _figures(picture: np.ndarray, trial: Trial) -> Figures:
    comparison = compare(picture, trial.references[picture.dtype.name])
    lost = trial.reference_db - picture_psnr(picture, trial.original)
    return Figures(lost, comparison.psnr_db, 255 * max(abs(shift) for shift in comparison.mean_shift))


def _timed(
    study: Study, contenders: list[Contender], weights: list[str], rounds: int, threads: int | None
) -> list[Row]:
    """All that were made, taking turns with PyTorch eager."""
    manifest = study.float_artifact("tflite").manifest
    field = [torch_contestant(manifest, EAGER, weights, threads)]
    for item in contenders:
        if item.error is None:
            row = Row(item.label, manifest.graph["gflop"], size_bytes=item.size_bytes)
            request = {"kind": "artifact", "path": str(item.path), "backend": item.backend, "threads": threads}
            field.append(Contestant(row, request | {"mode": dataclasses.asdict(Mode()), "size": manifest.size}))
    return measure(field, rounds, study.shown, threads=threads).rows


def _report(
    study: Study,
    contenders: list[Contender],
    ablation: list[Contender],
    tuned: list[Contender],
    seeds: list[Contender],
    rows: list[Row],
) -> str:
    made = [item for item in contenders if item.error is None]
    head = "lost dB, mean | worst | dB to fp32, mean | least | colour shift, 1/255"
    lines = [
        f"# int8: stock quantizers beside ours ({study.restorer.spec.name}, {study.side} x {study.side})",
        "",
        f"Six photographs that no calibration saw, each with noise of {SIGMAS[0]} and {SIGMAS[1]} and with the task's",
        "own degradation. Lost: PSNR against the original, PyTorch fp32 less int8. All calibrated on the same "
        f"{len(study.calibration.pictures)} pictures.",
        "Stock quantizers work on our lowered fp32 artifacts, at their defaults; floats in and out. For those of ONNX",
        "shared weights were copied and all shapes stated beforehand: both fail on the graph without it.",
        "Times: one run on this machine, taking turns with PyTorch eager fp32; the quartiles of the ratio in brackets.",
        "",
        *_table(f"| | {head} | MB | ms per picture | times PyTorch eager |", _overview(made, rows)),
        *[f"\n{item.label} could not be made: {item.error}" for item in contenders if item.error is not None],
        "",
        *_section("TFLite: what each part is worth", ablation, head),
        *_section("Fitted to its own float output", tuned, head),
        "## Seeds of the calibration",
        "",
        *_table(f"| | {head} |", [(item.label, *item.summary()) for item in seeds]),
        "",
        f"The mean losses of {len(seeds)} seeds spread over {_spread(seeds):.3f} dB (allowed: {ALLOWED_SPREAD_DB:g}).",
    ]
    for title, cell in (
        ("dB lost against the original", lambda item: f"{item.drop_db:+.2f}"),
        ("dB to PyTorch fp32", lambda item: f"{item.psnr_db:.1f}"),
        ("Largest shift of a colour channel, 1/255", lambda item: f"{item.shift:.2f}"),
    ):
        lines += ["", f"## {title}", "", *_by_picture(study, made, cell)]
    return "\n".join([*lines, "", describe_machine(), ""])


def _section(title: str, contenders: list[Contender], head: str) -> list[str]:
    if not contenders:
        return []
    rows = [(item.label, *item.summary()) for item in contenders if item.error is None]
    failed = [f"\n{item.label} could not be made: {item.error}" for item in contenders if item.error is not None]
    return [f"## {title}", "", *_table(f"| | {head} |", rows), *failed, ""]


def _overview(made: list[Contender], rows: list[Row]) -> list[tuple[str, ...]]:
    timed = {row.label: row for row in rows}
    cells = []
    eager = rows[0].latency
    if eager is not None:
        cells.append((rows[0].label, *[""] * 6, f"{1000 * eager.p50:.1f}", "1"))
    for item in made:
        row = timed[item.label]
        ms = f"{1000 * row.latency.p50:.1f}" if row.latency else f"failed: {row.error}"
        ratio = "{1:.2f} [{0:.2f}, {2:.2f}]".format(*row.ratio) if row.ratio else ""
        cells.append((item.label, *item.summary(), f"{item.size_bytes / 1e6:.2f}", ms, ratio))
    return cells


def _by_picture(study: Study, made: list[Contender], cell: Callable[[Figures], str]) -> list[str]:
    head = "| picture | PyTorch dB | " + " | ".join(item.label for item in made) + " |"
    return _table(
        head,
        [
            (name, f"{trial.reference_db:.2f}", *(cell(item.pictures[name]) for item in made))
            for name, trial in study.trials.items()
        ],
    )


def _table(head: str, rows: list[tuple[str, ...]]) -> list[str]:
    return [head, "|---" * (head.count("|") - 1) + "|", *("| " + " | ".join(row) + " |" for row in rows)]


def _spread(contenders: list[Contender]) -> float:
    means = [item.mean_drop_db for item in contenders]
    return max(means) - min(means)


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
    """Quantize, judge, time, and write quantization.md and quantization.json."""
    os.environ.setdefault(NO_TELEMETRY, "1")
    shown, spec = Shown(), load_spec(preset)
    chosen = weights or spec.weights
    if chosen is None:
        raise click.UsageError(f"the preset '{preset}' has no weights of its own: give some with --weights")
    study = Study(load_restorer(spec, chosen, shown), folder / preset, reuse, shown)
    contenders = [study.stock(name) for name in STOCK] + [study.ours(target) for target in FORMATS]
    ablation = [study.ours("tflite"), *(study.without(left_out) for left_out in LEFT_OUT)] if parts else []
    tuned = [study.ours(target, tune_steps=steps) for target in FORMATS for steps in (0, tune_steps)] * bool(tune_steps)
    calibrations = [study.ours("tflite", seed) for seed in range(seeds)]
    rows = _timed(study, contenders, [chosen], rounds, threads)
    out.mkdir(parents=True, exist_ok=True)
    text = _report(study, contenders, ablation, tuned, calibrations, rows)
    (out / "quantization.md").write_text(text, encoding="utf-8")
    (out / "quantization.json").write_text(
        _as_json(study, contenders, [*ablation, *tuned], calibrations, rows), encoding="utf-8"
    )
    click.echo(text)


def _as_json(
    study: Study, contenders: list[Contender], parts: list[Contender], seeds: list[Contender], rows: list[Row]
) -> str:
    data: dict[str, Any] = {
        "machine": describe_machine(),
        "reference_db": {name: trial.reference_db for name, trial in study.trials.items()},
        "contenders": [dataclasses.asdict(item) for item in contenders],
        "ablation": [dataclasses.asdict(item) for item in parts],
        "seeds": {"spread_db": _spread(seeds), "runs": [dataclasses.asdict(item) for item in seeds]},
        "times": [dataclasses.asdict(row) for row in rows],
    }
    return json.dumps(data, indent=1, default=str) + "\n"


if __name__ == "__main__":
    main()
