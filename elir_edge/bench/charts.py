"""Charts of results as SVG. Colours are CSS variables, so that they follow a page's light or dark theme."""

from __future__ import annotations

import random
from html import escape

from elir_edge.bench.drawing import FOOT, LANE, LEFT, RIGHT, TOP, WIDTH, Axis, line, padded_range, svg_picture, ticks
from elir_edge.bench.results import WRONG, Results, Row, Section
from elir_edge.bench.statistics import medians_of

MOST_DOTS = 160
LABEL_CHARACTERS = 36
STYLE = """
svg{--ink:#1d2733;--soft:#5d6b7a;--line:#d9e0e7;--torch:#8b97a5;--onnxruntime:#2f6fdb;--openvino:#8250d8;
--litert:#12906f;--tensorflow:#d9822b;--ncnn:#c8446e;--other:#4b7f9c;--bad:#cf2f3d}
@media (prefers-color-scheme:dark){svg{--ink:#e6edf3;--soft:#9aa7b4;--line:#323c47;--torch:#8b97a5;
--onnxruntime:#6ba1ff;--openvino:#b48cff;--litert:#3fc79c;--tensorflow:#f0a55a;--ncnn:#f07ba0;--other:#7fb2cf;
--bad:#ff6b74}}
"""
TEXT = """
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--ink)}
.soft{fill:var(--soft);font-size:11.5px}.grid{stroke:var(--line)}.strong{font-weight:600}
"""
KNOWN = ("torch", "onnxruntime", "openvino", "litert", "tensorflow", "ncnn")


def speed_plot(results: Results) -> str:
    """A standalone SVG with the speeds of all sections; light or dark, as the reader's system is set."""
    parts, height = [], 0
    for section in results.sections:
        size = " x ".join(map(str, section.model.size))
        parts.append(f'<text class="strong" x="0" y="{height + 18}">{escape(section.model.name)}, {size}</text>')
        body, tall = _speed_body(section)
        parts.append(f'<g transform="translate(0,{height + 28})">{body}</g>')
        height += tall + 44
    return svg_picture("".join(parts), height, STYLE + TEXT) + "\n"


def speed_chart(section: Section) -> str:
    """One bar per row: pictures per second; the thin line spans the quartiles of the rounds."""
    return svg_picture(*_speed_body(section))


def latency_chart(section: Section) -> str:
    """One dot per sample in ms, by row; vertical lines: median (tall), 90th and 99th percentile."""
    rows = _rows_with_latency(section)
    samples = [[1000 * s for samples in row.rounds for s in samples] for row in rows]
    axis = Axis(min(map(min, samples)) * 0.97, max(map(max, samples)) * 1.03)
    parts = [axis.grid(len(rows), "ms")]
    for i, (row, values) in enumerate(zip(rows, samples, strict=True)):
        middle = TOP + i * LANE + LANE / 2
        parts.append(_label(row, middle))
        chance = random.Random(i)
        for value in values if len(values) <= MOST_DOTS else chance.sample(values, MOST_DOTS):
            y = middle + chance.uniform(-7, 7)
            parts.append(f'<circle cx="{axis.x(value):.1f}" cy="{y:.1f}" r="2.2" fill="{_colour(row)}" opacity=".38"/>')
        assert row.latency is not None
        for value, half in ((row.latency.p50, 11), (row.latency.p90, 7), (row.latency.p99, 5)):
            x = axis.x(1000 * value)
            parts.append(line(x, middle - half, x, middle + half, "var(--ink)", 1.6))
        parts.append(_value(f"{1000 * row.latency.p50:.1f} ms", middle))
    return svg_picture("".join(parts), TOP + len(rows) * LANE + FOOT)


def memory_chart(section: Section) -> str:
    """One bar per row: peak resident memory in MB; the dark part is the size of the artifact."""
    rows = [row for row in _rows_with_latency(section) if row.peak_bytes]
    axis = Axis(0, max((row.peak_bytes or 0 for row in rows), default=1e6) / 1e6 * 1.02, log=False)
    parts = [axis.grid(len(rows), "MB")]
    for i, row in enumerate(rows):
        middle, peak, file = TOP + i * LANE + LANE / 2, (row.peak_bytes or 0) / 1e6, (row.size_bytes or 0) / 1e6
        parts.append(_label(row, middle))
        parts.append(_bar(axis, peak, middle, _colour(row), 0.45, f"{row.label}: {peak:.0f} MB at the peak"))
        parts.append(_bar(axis, file, middle, _colour(row), 1, f"{file:.1f} MB on disk") if file else "")
        parts.append(_value(f"{peak:.0f} MB", middle))
    return svg_picture("".join(parts), TOP + len(rows) * LANE + FOOT)


def size_chart(section: Section) -> str | None:
    """One point per artifact: its size in MB and the PSNR in dB that it loses against PyTorch; None without points.

    With stand-in weights, which restore nothing, the axis is the PSNR to PyTorch's pictures instead.
    """
    points = _size_points(section)
    if not points:
        return None
    height, left, right = 300, 62, 24
    most_x = max(x for x, _, _, _ in points) * 1.15
    low, high = padded_range([y for _, y, _, _ in points])
    scale_x = (WIDTH - left - right) / most_x
    scale_y = (height - 60) / (high - low)
    unit = "dB lost to PyTorch" if section.model.trained else "dB from PyTorch's pictures"
    parts = [f'<text class="soft" x="{left}" y="14">{unit}</text>']
    for tick in ticks(low, high):
        y = height - 40 - (tick - low) * scale_y
        parts.append(line(left, y, WIDTH - right, y, "var(--line)", 1))
        parts.append(f'<text class="soft" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in ticks(0, most_x):
        x = left + tick * scale_x
        parts.append(f'<text class="soft" x="{x:.1f}" y="{height - 20}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text class="soft" x="{WIDTH - right}" y="{height - 4}" text-anchor="end">MB on disk</text>')
    taken: list[tuple[float, float]] = []
    for megabytes, drop, label, row in sorted(points, key=lambda point: point[:2]):
        x, y = left + megabytes * scale_x, height - 40 - (drop - low) * scale_y
        text_y = y + 4
        while any(abs(text_y - other) < 15 and abs(x - at) < 220 for at, other in taken):
            text_y -= 15
        taken.append((x, text_y))
        side, anchor = (-10, "end") if x > WIDTH * 0.62 else (10, "start")
        parts.append(_marker(row, x, y))
        parts.append(f'<text x="{x + side:.1f}" y="{text_y:.1f}" text-anchor="{anchor}">{escape(label)}</text>')
    return svg_picture("".join(parts), height)


def _speed_body(section: Section) -> tuple[str, int]:
    rows = sorted(_rows_with_latency(section), key=lambda row: -(row.latency.fps if row.latency else 0))
    axis = Axis(0, max(map(_fastest, rows), default=1.0) * 1.02, log=False)
    parts = [axis.grid(len(rows), "FPS")]
    for i, row in enumerate(rows):
        assert row.latency is not None
        middle = TOP + i * LANE + LANE / 2
        parts.append(_label(row, middle))
        parts.append(_bar(axis, row.latency.fps, middle, _colour(row), 0.85, f"{row.label}: {row.latency.fps:.2f} FPS"))
        low, high = _quartiles(row)
        parts.append(line(axis.x(low), middle, axis.x(high), middle, "var(--ink)", 1.6))
        ratio = f" · {row.ratio[1]:.2f}x" if row.ratio else ""
        parts.append(_value(f"{row.latency.fps:.1f} FPS{ratio}", middle))
    return "".join(parts), TOP + len(rows) * LANE + FOOT


def _rows_with_latency(section: Section) -> list[Row]:
    return [row for row in section.rows if row.latency is not None]


def _quartiles(row: Row) -> tuple[float, float]:
    medians = sorted(medians_of(row.rounds))
    return 1 / medians[(3 * (len(medians) - 1)) // 4], 1 / medians[(len(medians) - 1) // 4]


def _fastest(row: Row) -> float:
    return _quartiles(row)[1]


def _size_points(section: Section) -> list[tuple[float, float, str, Row]]:
    """(MB, dB, name, row) of each artifact, from its row with the worst dB."""
    worst: dict[str, tuple[float, float, str, Row]] = {}
    for row in section.rows:
        judgement = row.judgement
        if row.artifact is None or row.size_bytes is None or judgement is None:
            continue
        drop = judgement.drop_db if section.model.trained else judgement.psnr_db
        if drop is None:
            continue
        sign = 1 if section.model.trained else -1
        point = (row.size_bytes / 1e6, drop, row.artifact.rpartition("/")[2], row)
        if row.artifact not in worst or sign * drop > sign * worst[row.artifact][1]:
            worst[row.artifact] = point
    return list(worst.values())


def _colour(row: Row) -> str:
    if row.status == WRONG:
        return "var(--bad)"
    return f"var(--{row.backend if row.backend in KNOWN else 'other'})"


def _label(row: Row, middle: float) -> str:
    text = row.label if len(row.label) <= LABEL_CHARACTERS else row.label[: LABEL_CHARACTERS - 1] + "…"
    wrong = " (WRONG picture)" if row.status == WRONG else ""
    return (
        f'<text x="{LEFT - 10}" y="{middle + 4.5:.1f}" text-anchor="end"><title>{escape(row.label + wrong)}</title>'
        f"{escape(text)}</text>"
    )


def _value(text: str, middle: float) -> str:
    return f'<text class="strong" x="{WIDTH - RIGHT + 10}" y="{middle + 4.5:.1f}">{escape(text)}</text>'


def _bar(axis: Axis, value: float, middle: float, colour: str, opacity: float, title: str) -> str:
    start, end = axis.x(axis.low), axis.x(value)
    return (
        f'<rect x="{start:.1f}" y="{middle - 9:.1f}" width="{max(1.0, end - start):.1f}" height="18" rx="3" '
        f'fill="{colour}" opacity="{opacity}"><title>{escape(title)}</title></rect>'
    )


def _marker(row: Row, x: float, y: float) -> str:
    """A disc for fp32, a diamond for other precisions."""
    if row.precision == "fp32":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{_colour(row)}"/>'
    return f'<path d="M{x:.1f} {y - 8:.1f}l8 8l-8 8l-8 -8z" fill="{_colour(row)}"/>'
