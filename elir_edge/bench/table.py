"""Tables of results, for a terminal and in Markdown."""

from __future__ import annotations

from elir_edge.bench.machine import describe_machine
from elir_edge.bench.results import ABSENT, FAILED, OK, UNCHECKED, WRONG, Model, Results, Row, Section
from elir_edge.imaging.comparison import IDENTICAL_DB
from elir_edge.runtime.backend import TORCH

HEAD = (
    "what runs", "FPS", "p50 ms", "p90", "p99", "min", "spread", "times as fast", "cold s", "peak MB", "MB",
    "GFLOP/s", "of peak", "J", "picture",
)  # fmt: skip
SHORT = ("what runs", "FPS", "p50 ms", "p99 ms", "times as fast", "cold s", "peak MB", "file MB", "of peak", "picture")
MARKS = {OK: "✅ {}", WRONG: "❌ WRONG {}", UNCHECKED: "not checked", FAILED: "failed", ABSENT: "not there"}


def cells(row: Row, peaks: dict[str, float]) -> dict[str, str]:
    """The cells of a row by the names in HEAD and SHORT; missing figures are empty."""
    latency = row.latency
    told = {"what runs": row.label, "picture": picture_cell(row)}
    if latency is None:
        return told
    cold, roof = row.cold or {}, row.of_roof(peaks)
    return told | {
        "FPS": f"{latency.fps:.2f}",
        "p50 ms": _ms(latency.p50),
        "p90": _ms(latency.p90),
        "p99": _ms(latency.p99),
        "p99 ms": _ms(latency.p99),
        "min": _ms(latency.least),
        "spread": f"{latency.spread:.0%}",
        "times as fast": "{1:.2f} [{0:.2f}, {2:.2f}]".format(*row.ratio) if row.ratio else "",
        "cold s": f"{sum(cold.values()):.2f}",
        "peak MB": _mega(row.peak_bytes) + (f" + {_mega(row.device_peak_bytes)}" if row.device_peak_bytes else ""),
        "MB": _mega(row.size_bytes, 1),
        "file MB": _mega(row.size_bytes, 1),
        "GFLOP/s": f"{row.gflops():.0f}",
        "of peak": "" if roof is None else f"{roof:.0%} of {row.computes_in}",
        "J": "" if row.energy_j is None else f"{row.energy_j:.2f}",
    }


def picture_cell(row: Row) -> str:
    """The word ok with the distance to PyTorch, or what is wrong."""
    judgement = row.judgement
    if row.error is not None or judgement is None or judgement.psnr_db is None:
        return MARKS[row.status]
    distance = "identical" if judgement.psnr_db >= IDENTICAL_DB else f"{judgement.psnr_db:.0f} dB"
    return MARKS[row.status].format(distance)


def text_rows(section: Section, peaks: dict[str, float]) -> list[list[str]]:
    """The full table of a section, for a terminal, without rows whose device is missing (``notes`` has them)."""
    shown = [cells(row, peaks) for row in section.rows if row.status != ABSENT]
    return [[row.get(name, "") for name in HEAD] for row in shown]


def notes(results: Results) -> list[str]:
    """Lines that go with the table: noise, failures, ops on other devices, missing devices, source of energy."""
    told = [section.noise.verdict() for section in results.sections]
    firsts = [row for section in results.sections for row in section.rows[:1]]
    told += [f"times as fast: as {row.label}" for row in firsts if row.backend != TORCH and row.ratio]
    for row in results.rows:
        if row.error is not None and not row.absent:
            told.append(f"failed: {row.error}")
        if row.judgement is not None and row.judgement.status == WRONG:
            told.append(f"WRONG picture: {_why_wrong(row)}")
        if row.judgement is not None and row.judgement.status == UNCHECKED:
            told.append(f"not checked: {row.judgement.reason}")
        if row.device_peak_bytes:
            told.append("peak MB: the process's own memory + that of the GPU")
        if row.strays:
            told.append(f"{row.label}: {placement_text(row)}")
    told += [f"not there: {row.error}" for row in results.rows if row.absent]
    told += [f"not there: {missing}" for missing in results.missing]
    if results.peaks:
        best = ", ".join(f"{name} {speed:.0f}" for name, speed in results.peaks.items())
        told.append(f"of peak: GFLOP/s over the best matrix product seen in this run ({best})")
    return list(dict.fromkeys([*told, f"energy: {results.energy}"]))


def placement_text(row: Row) -> str:
    """Number of ops by device, as text."""
    return "ops by device: " + ", ".join(f"{device} {count}" for device, count in row.placement.items())


def markdown(results: Results, with_notes: bool = True) -> str:
    """All sections as Markdown tables, with notes and the machine."""
    parts = []
    for section in results.sections:
        parts += [title(section.model), _markdown_table(section, results.peaks)]
    if with_notes:
        parts.append("\n".join(f"- {note}" for note in notes(results)))
    return "\n\n".join([*parts, describe_machine(results.machine)]) + "\n"


def _markdown_table(section: Section, peaks: dict[str, float]) -> str:
    rows = [cells(row, peaks) for row in section.rows if row.status != ABSENT]
    lines = [SHORT, ["---"] * len(SHORT), *([row.get(name, "") for name in SHORT] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def title(model: Model) -> str:
    """One line about a model."""
    height, width = model.size
    weights = "" if model.trained else f", stand-in weights ({model.weights}): pictures mean nothing"
    return f"**{model.name}**, {height} x {width}, K = {model.steps}{weights}"


def _why_wrong(row: Row) -> str:
    return f"{row.label}: {row.judgement.reason}" if row.judgement else row.label


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f}"


def _mega(count: int | None, digits: int = 0) -> str:
    return "" if count is None else f"{count / 1e6:.{digits}f}"
