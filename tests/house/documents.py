"""The project's documents: their commands, links and words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# In the order in which a reader meets them.
NAMES = (
    *("README.md", "docs/export.md", "docs/quantization.md", "docs/npu.md", "docs/packages.md", "docs/pictures.md"),
    *("docs/bench.md", "docs/training.md", "docs/figures.md", "docs/python.md", "docs/architecture.md"),
    *("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
)
PROGRAMS = ("elir-edge ", "make ", "python -m ", "pip install ")


@dataclass(frozen=True)
class Document:
    """A Markdown file; ``name`` is its path from the root."""

    name: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """The code blocks of ``language``."""
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.M | re.S)

    def commands(self) -> list[str]:
        """Lines of the shell blocks."""
        return [line for block in self.blocks("sh") for line in block.splitlines() if line.strip()]

    def mentions(self) -> list[str]:
        """Commands inside sentences and tables, without those that have a placeholder in capitals."""
        spans = re.findall(r"`([^`\n]+)`", self._prose())
        return [span for span in spans if span.startswith(PROGRAMS) and not re.search(r"\b[A-Z]{3,}\b", span)]

    def links(self) -> list[str]:
        """Targets of links and pictures that are not on the web."""
        text = self._prose()
        found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
        return [link for link in found if not link.startswith(("http://", "https://"))]

    def anchors(self) -> set[str]:
        """Anchors of the headings, as GitHub makes them."""
        titles = re.findall(r"^#+ (.+)$", self._prose(), re.M)
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    def _prose(self) -> str:
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.M | re.S)


DOCUMENTS = tuple(Document(name) for name in NAMES)

# Commands of shell blocks that no test runs as written, with what is tested instead. Their options are checked.
NOT_RUN = {
    "make test": "a part of .ci/run",
    "make setup": "it installs what runs these tests",
    "make test-quick": "a part of what runs these tests",
    "make test-campaign": "it is what runs these tests",
    "make lint": "not a test: it runs before each commit",
    "python -m pytest tests/house": "a part of what runs these tests",
    "elir-edge export --target executorch -o nano.pte": "tests/exporters/test_contract.py exports to every target",
    "elir-edge export --target coreml --precision fp16 --io uint8 -o nano.mlpackage": "tests/exporters/test_coreml.py",
    "elir-edge export --target web -o nano.web": "tests/exporters/test_web.py, if npm brought the runtime",
    "elir-edge export --target onnx --precision w8a16 -o nano-w8a16.onnx": "minutes; tests/quantize/test_w8a16.py",
    "elir-edge export --target onnx --precision mixed --max-drop 0.03dB -o nano-mixed.onnx": (
        "many minutes; tests/pipeline/test_mixed.py"
    ),
    "elir-edge compile nano-w8a16.onnx --for htp-v75 -o nano-v75.onnx": "a large compiler; tests/npu/test_compile.py",
    "elir-edge export --preset latent-pmrf --weights hf:sienna223/Sim-VAE --weights restorer.safetensors "
    "-o pmrf-512.onnx": "the hub; tests/families/latent_pmrf/test_weights.py loads folders as the hub has them",
    "elir-edge restore photos -o restored-ray --artifact nano.onnx --engine ray --jobs 2": (
        "the extra ray may be absent; tests/runtime/test_ray.py"
    ),
    "elir-edge export --preset latent-pmrf-nano --target tflite --split -o pmrf.tflite": (
        "minutes; tests/packaging/test_split_package.py exports a small one"
    ),
    "elir-edge package pmrf.tflite --lang c -o pmrf-c": "of that export; tests/packaging/test_split_package.py",
    "elir-edge export --preset mine.yaml --weights encoder.pth --weights decoder.pth --precision int8 --task none "
    "-o mine.onnx": "files of one's own; tests/families/test_checkpoint.py loads an autoencoder's two files",
    "elir-edge bench --all .": "many minutes; tests/bench/test_command.py measures a folder",
    "elir-edge evaluate --set kodak24 --pictures kodak24 --peer nlm --table kodak24.md -o sheet.png": (
        "the 24 pictures do not come with the project; tests/training/test_judge.py judges a set of its own"
    ),
    "elir-edge train --recipe latent-pmrf-nano --photographs photos -o runs/latent-pmrf-nano": (
        "half an hour; tests/training/test_rectified.py runs such a recipe of a few steps"
    ),
    "elir-edge train --preset nano --photographs photos -o runs/nano": (
        "hours; tests/training/test_train.py runs a recipe of a few steps"
    ),
}
