"""FPS on a CUDA GPU at batch 1, beside the figures of the ELIR paper for an RTX 2080 Ti.

python -m benchmarks.cuda [PRESET ...]    -> benchmarks/results/cuda.{md,json}

bfr, sr and bsr in PyTorch, fp16 and others, with and without CUDA graphs and compilation; stand-in weights, which take
as long as any. Needs a CUDA build of torch and a GPU.
"""

from __future__ import annotations

from pathlib import Path

import click

from elir_edge.artifacts.artifact import Manifest
from elir_edge.bench.results import OK, Section
from elir_edge.bench.sweep import Plan, make_results, model_of, run_section, torch_contestant
from elir_edge.bench.table import markdown
from elir_edge.bench.variant import EAGER, ON_CUDA
from elir_edge.cli.shared import Shown
from elir_edge.families.weights import load_restorer
from elir_edge.pipeline.export import export

RESULTS = Path(__file__).parent / "results"
PAPER_FPS = {"bfr": 19.51, "sr": 49.26, "bsr": 52.20}
WEIGHTS = "random:0"


@click.command()
@click.argument("presets", nargs=-1)
@click.option("--rounds", type=click.IntRange(2), default=10, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(presets: tuple[str, ...], rounds: int, out: Path) -> None:
    """Measure PRESETS. Default: bfr, sr and bsr."""
    import torch

    if not torch.cuda.is_available():
        raise click.ClickException("no CUDA device, or a CPU build of torch")
    shown, plan = Shown(), Plan(rounds=rounds)
    sections: list[Section] = []
    for preset in presets or PAPER_FPS:
        manifest = _manifest(preset, shown)
        contestants = [torch_contestant(manifest, form, [WEIGHTS], None) for form in (EAGER, *ON_CUDA)]
        sections.append(run_section(model_of(manifest), contestants, manifest, plan, shown)[0])
    results = make_results(sections, plan, {})
    out.mkdir(parents=True, exist_ok=True)
    (out / "cuda.json").write_text(results.to_json(), encoding="utf-8")
    text = "\n".join(["# On a GPU, batch 1", "", *_summary(sections), "", markdown(results)])
    (out / "cuda.md").write_text(text, encoding="utf-8")
    click.echo(text)


def _manifest(preset: str, shown: Shown) -> Manifest:
    """The manifest of an artifact of this model: size, noise, GFLOP."""
    folder = Path("build/cuda")
    folder.mkdir(parents=True, exist_ok=True)
    return export(load_restorer(preset, WEIGHTS), "openvino", out=folder / f"{preset}.xml", progress=shown).manifest


def _summary(sections: list[Section]) -> list[str]:
    lines = ["| preset | paper, RTX 2080 Ti | best here | with | GPU | times |", "|---|---|---|---|---|---|"]
    for section in sections:
        good = [row for row in section.rows[1:] if row.latency and row.status == OK]
        paper = PAPER_FPS.get(section.model.name)
        if not good:
            lines.append(f"| {section.model.name} | {paper} | none is right | | | |")
            continue
        best = max(good, key=lambda row: row.latency.fps if row.latency else 0)
        speed = best.latency
        assert speed is not None
        times, gpu = f"{speed.fps / paper:.1f}" if paper else "", best.device_name or best.device
        lines.append(f"| {section.model.name} | {paper} | {speed.fps:.1f} FPS | {best.label} | {gpu} | {times} |")
    return lines


if __name__ == "__main__":
    main()
