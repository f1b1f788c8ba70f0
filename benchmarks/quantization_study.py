"""Contenders of the quantization benchmark: int8 artifacts with their figures, picture by picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.stock_quantizers import STOCK
from elir_edge.artifacts.artifact import Artifact, load_artifact
from elir_edge.artifacts.signature import GraphForm
from elir_edge.cli.shared import Shown
from elir_edge.core.native import captured_output
from elir_edge.families.restorer import Restorer
from elir_edge.formats.tflite.file import pack_model, read_file
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
from elir_edge.quantize.plan import Quantization
from elir_edge.quantize.preparation import Feeds, as_tensors
from elir_edge.quantize.ranges import RANGE_METHOD
from elir_edge.quantize.rounding import round_weights
from elir_edge.quantize.tune import TuneBudget
from elir_edge.runtime.restore import run_picture
from elir_edge.runtime.session import open_session
from elir_edge.validation.reference import picture_of, reference_trajectory
from exporters.tflite import clip_bounds

FORMATS = {"tflite": "litert", "openvino": "openvino", "onnx": "onnxruntime"}
NOISE = "baked:0"
SIGMAS = (25, 50)
DRAW = 2000
EQUALIZATION, ROUNDING, RANGES = "equalization", "compensated rounding", "clipped ranges"
MEANS = "stage means"
PARTS = (EQUALIZATION, ROUNDING, RANGES, MEANS)
LEFT_OUT = (*((part,) for part in PARTS), PARTS, ())
LABELS = {PARTS: "without all of these", (): "with 16-bit latents in any case"}


@dataclass(frozen=True)
class Trial:
    """One degraded picture, its original, and the results of PyTorch fp32 by dtype: float32, and rounded uint8."""

    degraded: np.ndarray
    original: np.ndarray
    references: Mapping[str, np.ndarray]
    reference_db: float


@dataclass(frozen=True)
class Figures:
    """Of one picture: PSNR loss against the original, PSNR to PyTorch fp32, largest mean colour shift in 1/255."""

    drop_db: float
    psnr_db: float
    shift: float


@dataclass(frozen=True)
class Contender:
    """A row of the table; ``pictures`` by the names of the trials; ``error``: why it could not be made."""

    label: str
    path: Path
    backend: str
    size_bytes: int = 0
    pictures: dict[str, Figures] = field(default_factory=dict)
    error: str | None = None

    @property
    def mean_drop_db(self) -> float:
        """Mean PSNR loss over all pictures."""
        return float(np.mean([figures.drop_db for figures in self.pictures.values()]))

    def summary(self) -> tuple[str, ...]:
        """Cells of a table: mean and largest loss, mean and smallest PSNR to fp32, largest shift."""
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
    """One model with calibration pictures and trials; makes contenders in ``folder``."""

    def __init__(self, restorer: Restorer, folder: Path, reuse: bool, shown: Shown) -> None:
        self.restorer, self.folder, self.reuse, self.shown = restorer, folder, reuse, shown
        self.side = restorer.spec.size
        self.calibration = gather_calibration(CalibrationRequest(), restorer.spec, self.side, self.side)
        self.trials = self._trials()
        self._done: dict[Path, Artifact] = {}
        self._prepared_stems: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def ours(self, target: str, seed: int = 0, tune_steps: int = 0) -> Contender:
        """Our int8 artifact, exported even if it misses its gate."""
        budget = TuneBudget(steps=tune_steps) if tune_steps else None
        quantization = Quantization(CalibrationRequest(seed=seed), budget, allow_degraded=True)
        stem = f"ours-seed{seed}" + f"-tuned{tune_steps}" * bool(tune_steps)
        artifact = self._export(self.folder / f"{stem}{get_target(target).suffixes[0]}", target, "int8", quantization)
        more = f", seed {seed}" * bool(seed) + f", --tune-steps {tune_steps}" * bool(tune_steps)
        return self._judge(f"ours, {target}{more}", artifact.path, FORMATS[target])

    def stock(self, name: str) -> Contender:
        """Our fp32 artifact, quantized by the stock quantizer ``name``."""
        target, backend, quantize = STOCK[name]
        source = self.float_artifact(target)
        out = self.folder / f"stock-{name.lower().replace(', ', '-')}{source.path.suffix}"
        form = _form(self.side, target, "float")

        def make() -> None:
            with captured_output():
                quantize(source.path, self.calibration.feeds(form, self.restorer.spec), out)
            get_target(target).embed(out, dataclasses.replace(source.manifest, files={}).to_json())

        return self._make(f"stock: {name}", out, backend, make)

    def float_artifact(self, target: str) -> Artifact:
        """Our fp32 artifact with float input and output."""
        return self._export(self.folder / f"fp32{get_target(target).suffixes[0]}", target, "fp32", None)

    def without(self, left_out: tuple[str, ...]) -> Contender:
        """TFLite int8 without some of ``PARTS``; with none left out, latent sums have 16 bits in any case."""
        label = LABELS.get(left_out) or f"without {', '.join(left_out)}"
        out = self.folder / f"{label.replace(' ', '-').replace(',', '')}.tflite"
        template = self.ours("tflite")

        def make() -> None:
            out.write_bytes(self._tflite_without(left_out))
            manifest = load_artifact(template.path).manifest
            get_target("tflite").embed(out, dataclasses.replace(manifest, files={}).to_json())

        return self._make(label, out, FORMATS["tflite"], make)

    def _tflite_without(self, left_out: tuple[str, ...]) -> bytes:
        form = _form(self.side, "tflite", "uint8")
        feeds = self.calibration.feeds(form, self.restorer.spec)
        graph = lower(
            self.restorer, self.side, NOISE, "uint8", form.layout, form.latent_layout, get_target("tflite").norm
        )
        stages = graph.output_names()
        method = "minmax" if RANGES in left_out else RANGE_METHOD
        core = self._prepare(graph, feeds, EQUALIZATION not in left_out, ROUNDING not in left_out)
        gflop = measure_graph("int8", graph).gflop if left_out else math.inf
        kept = _keep if MEANS in left_out else litert_static.correct_stages
        with patch.object(litert_static, "correct_stages", kept):
            model = read_file(core)
            model = litert_static.quantize_tflite(
                model, feeds, stages, self.shown, method=method, gflop=gflop, bounds=clip_bounds(graph)
            )
        return pack_model(model)

    def _prepare(self, graph: StaticRestorer, feeds: Feeds, equalized: bool, rounded: bool) -> Path:
        """Path of the float graph for the quantizer; ``graph`` is prepared in place. Made once for each preparation."""
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

    def _export(self, path: Path, target: str, precision: str, quantization: Quantization | None) -> Artifact:
        if path not in self._done:
            self.shown.note(f"exporting {path.name}")
            self._done[path] = export(
                self.restorer, target, precision, noise=NOISE, out=path, force=not self.reuse,
                progress=self.shown, quantization=quantization,
            )  # fmt: skip
        return self._done[path]

    def _make(self, label: str, path: Path, backend: str, make: Callable[[], None]) -> Contender:
        if not (self.reuse and path.is_file()):
            try:
                with self.shown.stage(label):
                    make()
            except Exception as error:  # a stock quantizer raises anything; the reason must reach the table
                path.unlink(missing_ok=True)
                return Contender(label, path, backend, error=f"{type(error).__name__}: {error}".splitlines()[0])
        return self._judge(label, path, backend)

    def _judge(self, label: str, path: Path, backend: str) -> Contender:
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
        with self.shown.stage("results of PyTorch", len(EVALUATION)) as advance:
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


def _keep(*_: object) -> None:
    """In the place of a correction: the biases stay."""


def _form(side: int, target: str, io: str) -> GraphForm:
    found = get_target(target)
    return GraphForm(side, side, NoiseContract.parse(NOISE), io, found.layouts[io], found.latent_layout)


def _figures(picture: np.ndarray, trial: Trial) -> Figures:
    comparison = compare(picture, trial.references[picture.dtype.name])
    lost = trial.reference_db - picture_psnr(picture, trial.original)
    return Figures(lost, comparison.psnr_db, 255 * max(abs(shift) for shift in comparison.mean_shift))
