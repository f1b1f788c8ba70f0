"""Results of a benchmark and their JSON, with a schema version, the machine and all samples."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elir_edge.bench.noise import Noise
from elir_edge.bench.peaks import roof_of
from elir_edge.bench.statistics import Latency, latency_of
from elir_edge.core.plain import finite
from elir_edge.errors import DataError, MissingInputError
from elir_edge.runtime.backend import TORCH
from elir_edge.runtime.mode import CPU

SCHEMA = 1
CUDA = "CUDA"
OK, WRONG, UNCHECKED, FAILED, ABSENT = "ok", "wrong", "unchecked", "failed", "absent"
LEAST_EXACT_FIRST = ("int8", "mixed", "bf16", "w8a16", "fp16", "fp32")


@dataclass(frozen=True)
class Judgement:
    """A row's pictures compared with PyTorch fp32. ``status``: ok, wrong, or unchecked, with the ``reason``.

    ``max_abs`` and ``psnr_db``: of the worst picture, against PyTorch; ``quality_db``: mean PSNR to the original
    photographs; ``drop_db``: how much lower that is than PyTorch's.
    """

    status: str
    gate: str = ""
    max_abs: float | None = None
    psnr_db: float | None = None
    quality_db: float | None = None
    drop_db: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Row:
    """The measurements of one contestant. ``error``: why it failed; with ``absent``, its device is missing.

    ``rounds``: all samples in seconds per picture, one list per round; ``ratio``: quartiles of the speed relative to
    the section's first row; ``cold``: seconds to import the runtime, to load and compile, and for the first picture;
    ``placement``: ops by device, where the runtime tells; ``device_name``: of the GPU; ``energy_j``: joules per
    picture; ``precision``: of the artifact; ``arithmetic``: of its ops that are not int8.
    """

    label: str
    gflop: float
    artifact: str | None = None
    backend: str = ""
    device: str = CPU
    hint: str = "latency"
    precision: str = "fp32"
    arithmetic: str = "fp32"
    threads: int | None = None
    size_bytes: int | None = None
    cold: dict[str, float] | None = None
    peak_bytes: int | None = None
    device_peak_bytes: int | None = None
    placement: dict[str, int] = field(default_factory=dict)
    rounds: list[list[float]] = field(default_factory=list)
    ratio: tuple[float, float, float] | None = None
    energy_j: float | None = None
    judgement: Judgement | None = None
    error: str | None = None
    absent: bool = False
    device_name: str | None = None

    @property
    def strays(self) -> bool:
        """Whether ops ran on another device than ``device``; GPU.1 is a GPU."""
        return any(name.partition(".")[0] != self.device.partition(".")[0] for name in self.placement)

    @property
    def latency(self) -> Latency | None:
        """Latency over all rounds, None if there are none."""
        samples = [sample for samples in self.rounds for sample in samples]
        return latency_of(samples) if samples else None

    @property
    def status(self) -> str:
        """ok, wrong, unchecked, failed or absent."""
        if self.error is not None:
            return ABSENT if self.absent else FAILED
        return self.judgement.status if self.judgement else UNCHECKED

    @property
    def computes_in(self) -> str:
        """The lower of the artifact's precision and the arithmetic: it decides the gate and the roof."""
        return min(self.precision, self.arithmetic, key=LEAST_EXACT_FIRST.index)

    @property
    def key(self) -> tuple[Any, ...]:
        """Identity of the row: rows of two runs with equal keys are compared."""
        name = Path(self.artifact).name if self.artifact else self.label
        return (name, self.precision, self.backend, self.device, self.hint, self.arithmetic, self.threads)

    def gflops(self) -> float | None:
        """GFLOP/s at the median latency."""
        return None if self.latency is None else self.gflop * self.latency.fps

    def of_roof(self, peaks: dict[str, float]) -> float | None:
        """GFLOP/s / peak GFLOP/s of matrix products in the same arithmetic; None if not on the CPU."""
        roof, speed = roof_of(peaks, self.computes_in), self.gflops()
        return None if roof is None or speed is None or self.device != CPU else speed / roof


@dataclass(frozen=True)
class Model:
    """The model that all rows of a section compute."""

    name: str
    task: str
    size: tuple[int, int]
    steps: int
    weights: str
    trained: bool


@dataclass(frozen=True)
class Section:
    """One model and the rows that were timed on it in turn; ratios refer to the first row."""

    model: Model
    rows: list[Row]
    noise: Noise


@dataclass(frozen=True)
class Results:
    """A whole benchmark. ``peaks``: GFLOP/s by arithmetic; ``energy``: source of the energy figures, or why there are
    none; ``missing``: missing devices, each with the reason."""

    machine: dict[str, Any]
    settings: dict[str, Any]
    peaks: dict[str, float]
    energy: str
    missing: list[str]
    sections: list[Section]
    schema: int = SCHEMA

    @property
    def rows(self) -> list[Row]:
        """The rows of all sections."""
        return [row for section in self.sections for row in section.rows]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; each row also has its computed ``figures``."""
        data = dataclasses.asdict(self)
        for section, plain in zip(self.sections, data["sections"], strict=True):
            plain["verdict"] = section.noise.verdict()
            for row, item in zip(section.rows, plain["rows"], strict=True):
                item["status"], item["figures"] = row.status, _figures(row, self.peaks)
        return data

    def to_json(self) -> str:
        """``to_dict`` as JSON text."""
        return json.dumps(finite(self.to_dict()), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def load_results(path: Path) -> Results:
    """Read results from a JSON file. Raises MissingInputError, and DataError if the file has no results."""
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file", hint="elir-edge bench -o writes it")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise DataError(f"{path}: schema {data['schema']!r}, this version reads {SCHEMA}", hint="measure again")
        sections = [_section(item) for item in data["sections"]]
        return Results(data["machine"], data["settings"], data["peaks"], data["energy"], data["missing"], sections)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: not the results of elir-edge bench ({error})", hint="give a file that elir-edge bench -o wrote"
        ) from error


def _figures(row: Row, peaks: dict[str, float]) -> dict[str, Any]:
    latency = row.latency
    if latency is None:
        return {}
    return dataclasses.asdict(latency) | {
        "fps": latency.fps,
        "gflops": row.gflops(),
        "of_roof": row.of_roof(peaks),
    }


def _section(data: dict[str, Any]) -> Section:
    model = Model(**data["model"] | {"size": tuple(data["model"]["size"])})
    return Section(model, [_row(item) for item in data["rows"]], Noise(**data["noise"]))


def _row(data: dict[str, Any]) -> Row:
    names = {item.name for item in dataclasses.fields(Row)}
    kept = {key: value for key, value in data.items() if key in names}
    kept["ratio"] = tuple(kept["ratio"]) if kept["ratio"] else None
    if kept["backend"] == TORCH and kept["device"] not in (CPU, CUDA):  # files of older versions have the name there
        kept |= {"device": CUDA, "device_name": kept["device"]}
    kept["judgement"] = Judgement(**kept["judgement"]) if kept["judgement"] else None
    return Row(**kept)
