"""Tables and JSON of the quantization benchmark."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from benchmarks.quantization_study import SIGMAS, Contender, Figures, Study
from elir_edge.bench.machine import describe_machine
from elir_edge.bench.results import Row

ALLOWED_SPREAD_DB = 0.05


def markdown(
    study: Study,
    contenders: list[Contender],
    ablation: list[Contender],
    tuned: list[Contender],
    seeds: list[Contender],
    rows: list[Row],
) -> str:
    """All tables as Markdown."""
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
        f"The mean losses of {len(seeds)} seeds spread over {spread_db(seeds):.3f} dB "
        f"(allowed: {ALLOWED_SPREAD_DB:g}).",
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


def spread_db(contenders: list[Contender]) -> float:
    """Difference of the largest and the smallest mean loss in dB."""
    means = [item.mean_drop_db for item in contenders]
    return max(means) - min(means)


def as_json(
    study: Study, contenders: list[Contender], parts: list[Contender], seeds: list[Contender], rows: list[Row]
) -> str:
    """All figures as JSON."""
    data: dict[str, Any] = {
        "machine": describe_machine(),
        "reference_db": {name: trial.reference_db for name, trial in study.trials.items()},
        "contenders": [dataclasses.asdict(item) for item in contenders],
        "ablation": [dataclasses.asdict(item) for item in parts],
        "seeds": {"spread_db": spread_db(seeds), "runs": [dataclasses.asdict(item) for item in seeds]},
        "times": [dataclasses.asdict(row) for row in rows],
    }
    return json.dumps(data, indent=1, default=str) + "\n"
