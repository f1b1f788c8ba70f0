"""Long runs that may not grow: ``python -m tests.robustness.soak --runs 1000 --opens 100 --pictures 1000``.

Memory, threads and descriptors of a process of its own, at 20 moments after a warm-up. Growth is the median of the last
quarter against that of the first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.helpers import child_environment, command_line, save_picture
from tests.robustness.faults import write_ir, write_onnx, write_tflite
from tests.robustness.soak_worker import SAMPLES, sample_of

IN_FLIGHT = 4  # pictures that restore reads and writes while it is looked at from outside
MOST_GROWTH = 2.0  # percent of the resident memory
BACKENDS = {"onnxruntime": "a.onnx", "openvino": "a.xml", "litert": "a.tflite", "tensorflow": "a.tflite"}


@dataclass(frozen=True)
class Soak:
    """Samples of one run by their names, in the order of time."""

    name: str
    samples: list[dict[str, float]]
    in_flight: int = 0  # descriptors and threads that are there at one moment and not at another

    def ends(self, key: str) -> tuple[float, float]:
        """Medians of the first and of the last quarter."""
        values = [sample[key] for sample in self.samples]
        quarter = max(1, len(values) // 4)
        return statistics.median(values[:quarter]), statistics.median(values[-quarter:])

    @property
    def memory_growth(self) -> float:
        """Growth of the resident memory in percent."""
        first, last = self.ends("memory")
        return 100 * (last - first) / first

    @property
    def faults(self) -> list[str]:
        """What grew, as sentences."""
        found = []
        if self.memory_growth >= MOST_GROWTH:
            found.append(f"{self.name}: memory grew by {self.memory_growth:.1f} %")
        for key in ("threads", "descriptors"):
            first, last = self.ends(key)
            if last > first + self.in_flight:
                found.append(f"{self.name}: {key} grew from {first:g} to {last:g}")
        return found


def soak(kind: str, backend: str, path: Path, count: int) -> Soak:
    """``count`` inferences, or opens and closes, of the artifact at ``path``."""
    command = [sys.executable, "-m", "tests.robustness.soak_worker", kind, backend, str(path), str(count)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{kind} in {backend} ended with {done.returncode}: {done.stderr[-500:]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return Soak(f"{count} {kind}, {backend}", [json.loads(line) for line in lines])


def soak_restore(path: Path, folder: Path, count: int) -> Soak:
    """``count`` pictures through one ``restore``, watched from outside."""
    source, out = folder / "pictures", folder / "restored"
    source.mkdir()
    for i in range(count):
        save_picture(source / f"{i:04}.png", seed=i)
    command = command_line("restore", source, "-o", out, "-a", path)
    with subprocess.Popen(
        command, env=child_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        samples = _watch(process, out, count)
        said = process.stderr.read().decode() if process.stderr else ""
    if process.returncode:
        raise RuntimeError(f"restore ended with {process.returncode}: {said[-500:]}")
    return Soak(f"{count} pictures through one restore", samples, IN_FLIGHT)


def _watch(process: subprocess.Popen[bytes], out: Path, count: int) -> list[dict[str, float]]:
    """Sums over the process and its children, each time that a share of the pictures is there."""
    samples: list[dict[str, float]] = []
    while process.poll() is None:
        done = len(list(out.glob("[!.]*.png"))) if out.is_dir() else 0
        if done < count and done >= count * (len(samples) + 2) // (SAMPLES + 2):  # the first share warms up
            with contextlib.suppress(psutil.Error):  # a process that ends meanwhile
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                each = [sample_of(member) for member in family]
                samples.append({key: sum(sample[key] for sample in each) for key in each[0]})
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    return samples


def table(found: list[Soak]) -> str:
    """Markdown: a row a run."""
    rows = ["| run | memory, MB | growth, % | threads | descriptors |", "|---|---|---|---|---|"]
    for item in found:
        memory, threads, files = (item.ends(key) for key in ("memory", "threads", "descriptors"))
        rows.append(
            f"| {item.name} | {memory[0]:.0f} -> {memory[1]:.0f} | {item.memory_growth:+.2f} "
            f"| {threads[0]:g} -> {threads[1]:g} | {files[0]:g} -> {files[1]:g} |"
        )
    return "\n".join(rows) + "\n"


def write_artifacts(folder: Path) -> dict[str, Path]:
    """The small artifact that each backend opens."""
    write_onnx(folder / "a.onnx")
    write_ir(folder / "a.xml")
    write_tflite(folder / "a.tflite")
    return {backend: folder / name for backend, name in BACKENDS.items()}


def soak_all(folder: Path, runs: int, opens: int, pictures: int) -> list[Soak]:
    """Every backend, then ``restore``."""
    paths = write_artifacts(folder)
    found = [soak("inferences", backend, path, runs) for backend, path in paths.items()]
    found += [soak("opens", backend, path, opens) for backend, path in paths.items()]
    return [*found, soak_restore(paths["onnxruntime"], folder, pictures)]


def main() -> int:
    """Print a table; 1 where something grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="Inferences a backend.")
    parser.add_argument("--opens", type=int, default=100, help="Opens and closes a backend.")
    parser.add_argument("--pictures", type=int, default=1000, help="Pictures through one restore.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak_all(Path(folder), given.runs, given.opens, given.pictures)
    faults = [fault for item in found for fault in item.faults]
    sys.stdout.write(table(found) + "".join(f"{fault}\n" for fault in faults))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
