"""Results of NPU compilers for the int8 artifacts, device by device.

python -m benchmarks.npu [PRESET[:SIZE] ...]     -> benchmarks/results/npu.md
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np

from elir_edge import export, load_restorer
from elir_edge.artifacts.artifact import Artifact
from elir_edge.artifacts.golden import load_golden
from elir_edge.cli.shared import Shown
from elir_edge.errors import UnavailableError
from elir_edge.imaging.comparison import compare
from elir_edge.npu.compile import run_compiler
from elir_edge.npu.compiler import Compilation, compilers
from elir_edge.npu.device import KnownDevice, known_devices
from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.plan import Quantization

RESULTS = Path(__file__).parent / "results"
FOLDER = Path("build") / "npu"
WEIGHTS = {"nano": None}
STAND_IN = Quantization(CalibrationRequest(count=4), allow_degraded=True)  # random weights have no quality to keep
SIMULATED = ("htp-v75",)
PACKAGES = ("ethos-u-vela", "onnxruntime-qnn", "tflite-micro")
IO = {".tflite": "uint8", ".onnx": "float"}
CASES = ("nano", "nano:192", "sr")
ONLY_CASE = {"tflite-micro": "nano"}
ONLY_FAMILY = {"nano:192": "Arm Ethos-U55"}


@dataclass(frozen=True)
class Row:
    """One preset on one device; ``parity`` in words, of what was run."""

    preset: str
    device: KnownDevice
    result: Compilation
    parity: str


class Artifacts:
    """The int8 and fp32 artifacts of the presets, exported on first use."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._made: dict[tuple[str, str, str], Artifact] = {}

    def get(self, preset: str, suffix: str, precision: str) -> Artifact:
        """The artifact of ``preset`` in the format of ``suffix``."""
        key = (preset, suffix, precision)
        if key not in self._made:
            name, _, size = preset.partition(":")
            restorer = load_restorer(name, WEIGHTS.get(name, "random:0"))
            target = suffix.removeprefix(".")
            out = FOLDER / f"{preset.replace(':', '-')}-{precision}{suffix}"
            io = IO[suffix] if precision == "int8" else "float"
            quantization = None if precision != "int8" or name in WEIGHTS else STAND_IN
            self._made[key] = export(
                restorer,
                target,
                precision,
                size or None,
                io=io,
                out=out,
                force=True,
                progress=self._shown,
                quantization=quantization,
            )
        return self._made[key]


def measure(preset: str, device: KnownDevice, artifacts: Artifacts, shown: Shown) -> Row:
    """Compile the preset's int8 artifact for a device; on the simulated ones, run the golden picture too."""
    takes = compilers()[device.shared.compiler].takes
    artifact = artifacts.get(preset, takes, "int8")
    simulate = device.shared.compiler != "qnn" or device.name in SIMULATED
    with tempfile.TemporaryDirectory() as folder:
        result = run_compiler(artifact, device, Path(folder), "compiled", simulate, shown)
        picture = Path(folder) / "restored.npy"
        told = f"{(artifact.manifest.parity or {})['psnr_db']:.1f} dB, the artifact's on a CPU"
        if picture.is_file():
            restored = np.load(picture)[0]
            reference = artifacts.get(preset, takes, "fp32")
            told = f"{_psnr(artifact, restored, reference):.1f} dB simulated; {told}"
    return Row(preset, device, result, told)


def _psnr(artifact: Artifact, restored: np.ndarray, reference: Artifact) -> float:
    """PSNR in dB of a simulator's output to the golden output of the fp32 artifact, for the same picture."""
    picture = restored if artifact.manifest.layout == "NHWC" else restored.transpose(1, 2, 0)
    if picture.dtype == np.uint8:
        picture = (picture / 255).astype(np.float32)
    return compare(picture, load_golden(reference).restored).psnr_db


def table(rows: list[Row]) -> str:
    """The figures as Markdown."""
    lines = [
        "# int8 artifacts through the NPUs' own compilers",
        "",
        "Estimated: by Vela, from its model of the NPU and its memories. Simulated: computed here as the device would,",
        "for the numbers; a simulator's time is no speed. Parity is to fp32: simulated, on the golden picture; the",
        "artifact's own, on the worst of the photographs it was validated on. sr has random weights here, with which",
        "int8 is further from fp32 than with trained ones. Memory is what the compiler says it uses, of what the",
        "device file states.",
        "",
        "| preset | device | usable | ops on it | inferences/s | cycles | figures are | memory KiB | parity |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures, device = row.result.figures, row.device
        usable = "yes" if not row.result.problems else "no: " + "; ".join(row.result.problems).replace("|", "/")
        memory = ", ".join(f"{kib:.0f} {name}{_of(device, name)}" for name, kib in row.result.memory_kib.items())
        if "arena_bytes" in figures:
            memory = f"{figures['arena_bytes'] / 1024:.0f} arena"
        cells = (
            row.preset,
            device.name,
            usable,
            f"{row.result.npu_share:.1%}",
            figures.get("inferences_per_second", "-"),
            figures.get("cycles", "-"),
            device.shared.figures,
            memory,
            row.parity,
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, "", ", ".join(f"{name} {version(name)}" for name in PACKAGES), ""])


def _of(device: KnownDevice, name: str) -> str:
    return f" of {device.memory.kib(name)}" if device.memory.kib(name) else ""


def _is_left_out(preset: str, device: KnownDevice) -> bool:
    return ONLY_FAMILY.get(preset, device.shared.family) != device.shared.family


@click.command()
@click.argument("presets", nargs=-1)
def main(presets: tuple[str, ...]) -> None:
    """Compile PRESETS for every known device. Default: nano, nano:192 and sr."""
    shown = Shown()
    artifacts = Artifacts(shown)
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = []
    for preset in presets or CASES:
        for device in known_devices().values():
            if ONLY_CASE.get(device.name, preset) != preset or _is_left_out(preset, device):
                continue
            try:
                rows.append(measure(preset, device, artifacts, shown))
            except UnavailableError as error:
                shown.note(f"note: {device.name} left out: {error}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "npu.md").write_text(table(rows))
    click.echo(table(rows))


if __name__ == "__main__":
    main()
