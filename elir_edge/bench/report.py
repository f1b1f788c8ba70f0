"""The report: one self-contained HTML page with the table, the charts and the pictures under a slider."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from importlib import resources

import numpy as np

from elir_edge.bench.charts import STYLE, TEXT, latency_chart, memory_chart, size_chart, speed_chart
from elir_edge.bench.results import ABSENT, FAILED, OK, WRONG, Results, Row, Section
from elir_edge.bench.sweep import Gallery
from elir_edge.bench.table import cells, notes, title
from elir_edge.core.template import fill

COLUMNS = (
    "what runs", "picture", "FPS", "times as fast", "p50 ms", "p90", "p99", "min", "spread", "cold s", "peak MB", "MB",
    "GFLOP/s", "of peak", "J",
)  # fmt: skip
INPUT, ORIGINAL = "input", "original"


def html_report(results: Results, galleries: Sequence[Gallery] = ()) -> str:
    """The page as HTML. Without ``galleries`` (results read from a file) it has no pictures."""
    page = (resources.files("elir_edge") / "bench" / "page.html").read_text(encoding="utf-8")
    pairs = [(section, galleries[i] if galleries else None) for i, section in enumerate(results.sections)]
    parts = {
        "chart_style": STYLE.replace("svg{", ":root{") + TEXT.replace("text{", "svg text{"),
        "machine": _machine(results),
        "sections": "\n".join(_section(section, gallery, results) for section, gallery in pairs),
        "notes": "".join(f"<li>{escape(note)}</li>" for note in _other_notes(results)),
        "versions": escape(", ".join(f"{name} {value}" for name, value in results.machine["versions"].items())),
        "pictures": _json([_pictures(section, gallery) for section, gallery in pairs if gallery]),
    }
    return fill(page, parts)


def _machine(results: Results) -> str:
    facts = results.machine
    chips = [
        facts["processor"],
        f"{facts['cores']} cores"
        + (f", {results.settings['threads']} used" if results.settings.get("threads") else ""),
        f"{facts['memory_gib']} GiB",
        facts["system"],
        *facts["instructions"],
        *(f"{name} peak {speed:.0f} GFLOP/s" for name, speed in results.peaks.items()),
    ]
    return "".join(f"<span class='chip'>{escape(str(chip))}</span>" for chip in chips)


def _other_notes(results: Results) -> list[str]:
    verdicts = {section.noise.verdict() for section in results.sections}
    return [note for note in notes(results) if note not in verdicts]


def _section(section: Section, gallery: Gallery | None, results: Results) -> str:
    noise = section.noise
    parts = [
        f"<h2>{escape(title(section.model).replace('*', ''))}</h2><p class='task'>{escape(section.model.task)}</p>",
        f"<p class='verdict {'quiet' if noise.quiet else 'noisy'}'>{escape(noise.verdict())}</p>",
        _highlights(section),
        _slider(section, gallery) if gallery else "",
        _table(section, results),
        _figures(section),
    ]
    return f"<section>{''.join(parts)}</section>"


def _highlights(section: Section) -> str:
    """HTML of the main figures, from rows whose pictures are not wrong."""
    good = [row for row in section.rows if row.latency and row.artifact and row.status != WRONG]
    if not good:
        return ""
    fast = max(good, key=lambda row: row.latency.fps if row.latency else 0)
    small = min(good, key=lambda row: row.size_bytes or 0)
    lean = min(good, key=lambda row: row.peak_bytes or 0)
    assert fast.latency is not None
    cards = [_card(f"{fast.latency.fps:.1f}", "FPS", f"fastest: {fast.label}")]
    if fast.ratio and section.rows[0].backend == "torch":
        cards.append(
            _card(f"{fast.ratio[1]:.2f}", "x PyTorch", f"quartiles {fast.ratio[0]:.2f} to {fast.ratio[2]:.2f}")
        )
    cards.append(_card(f"{(lean.peak_bytes or 0) / 1e6:.0f}", "MB at the peak", f"least memory: {lean.label}"))
    cards.append(_card(f"{(small.size_bytes or 0) / 1e6:.1f}", "MB on disk", f"smallest: {small.label}"))
    return f"<div class='cards'>{''.join(cards)}</div>"


def _card(figure: str, unit: str, detail: str) -> str:
    return f"<div class='card'><b>{escape(figure)}</b> <span>{escape(unit)}</span><p>{escape(detail)}</p></div>"


def _table(section: Section, results: Results) -> str:
    rows = [row for row in section.rows if row.status != ABSENT]
    shown = [cells(row, results.peaks) for row in rows]
    kept = [name for name in COLUMNS if any(cell.get(name) for cell in shown)]
    fastest = max((row.latency.fps for row in rows if row.latency), default=1.0)
    head = "".join(f"<th>{escape(name)}</th>" for name in kept)
    body = "".join(_table_row(row, cell, kept, fastest) for row, cell in zip(rows, shown, strict=True))
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _table_row(row: Row, cell: dict[str, str], names: list[str], fastest: float) -> str:
    marks = {OK: "good", WRONG: "bad", FAILED: "bad"}
    parts = []
    for name in names:
        text = escape(cell.get(name, ""))
        if name == "FPS" and row.latency:
            share = 100 * row.latency.fps / fastest
            parts.append(f"<td class='fps' style='--share:{share:.1f}%'>{text}</td>")
        elif name == "what runs":
            parts.append(f"<td><i class='dot {escape(row.backend)}'></i>{text}{_apart(row)}</td>")
        elif name == "picture":
            plain = text.replace("✅", "✓").replace("❌", "✗")
            parts.append(f"<td class='{marks.get(row.status, '')}' title='{escape(_why(row))}'>{plain}</td>")
        else:
            parts.append(f"<td>{text}</td>")
    return f"<tr>{''.join(parts)}</tr>"


def _apart(row: Row) -> str:
    if not row.strays:
        return ""
    text = ", ".join(f"{count} on {device}" for device, count in row.placement.items())
    return f"<small class='bad'> ops: {escape(text)}</small>"


def _why(row: Row) -> str:
    judgement = row.judgement
    if row.error or judgement is None:
        return row.error or ""
    if judgement.psnr_db is None:
        return judgement.reason or ""
    lost = "" if judgement.drop_db is None else f"; {judgement.drop_db:.3f} dB lost against the originals"
    return f"worst picture {judgement.psnr_db:.1f} dB from PyTorch, its gate is {judgement.gate}{lost}"


def _figures(section: Section) -> str:
    if not any(row.latency for row in section.rows):
        return ""
    size = size_chart(section)
    charts = [
        ("Pictures a second", "The thin line spans the quartiles of the rounds.", speed_chart(section)),
        ("Milliseconds a picture", "Each dot is a sample; lines are p50 (tall), p90, p99.", latency_chart(section)),
        ("Peak memory", "Of the whole process; the dark part is the size of the file.", memory_chart(section)),
    ]
    if size is not None:
        words = "Disc: fp32, diamond: smaller. PSNR against the original photographs, lower is better."
        charts.append(("Size against quality", words if section.model.trained else "Higher is nearer.", size))
    figures = "".join(
        f"<figure><figcaption><b>{escape(name)}</b> {escape(words)}</figcaption>{svg}</figure>"
        for name, words, svg in charts
    )
    return f"<div class='figures'>{figures}</div>"


def _slider(section: Section, gallery: Gallery) -> str:
    degradation = escape(gallery.scene.degradation)
    return (
        f"<figure class='compare'><figcaption><b>The pictures</b> Input: photographs with {degradation}. Drag the two "
        "handles, or focus one and use the arrow keys.</figcaption></figure>"
    )


def _pictures(section: Section, gallery: Gallery) -> dict[str, object]:
    """Data of the slider: names of the layers, the three shown first, and each photograph's layers as data URIs."""
    layers = _layers(section, gallery)
    first = [INPUT, *_first_layers(section, [name for name in layers if name not in (INPUT, ORIGINAL)])]
    scenes = [
        {"name": name, "layers": {layer: _data_uri(pictures[i]) for layer, pictures in layers.items()}}
        for i, name in enumerate(gallery.scene.names)
    ]
    return {"layers": list(layers), "first": first, "scenes": scenes, "size": section.model.size}


def _layers(section: Section, gallery: Gallery) -> dict[str, np.ndarray]:
    """Pictures by name: the input, the original, then each row whose pictures differ from those of all rows before."""
    layers = {INPUT: gallery.scene.degraded, ORIGINAL: gallery.scene.originals}
    for row in section.rows:
        made = gallery.restored.get(row.label)
        if made is not None and not any(np.array_equal(made, other) for other in layers.values()):
            layers[row.label] = made
    return layers


def _first_layers(section: Section, names: list[str]) -> list[str]:
    """The two layers shown first beside the input: PyTorch (or the first row), an int8 artifact (or the last row)."""
    small = [row.label for row in section.rows if row.precision != "fp32" and row.label in names]
    right = (small or names)[-1] if names else ORIGINAL
    return [names[0] if names else ORIGINAL, right if right != names[0] else ORIGINAL]


def _data_uri(pixels: np.ndarray) -> str:
    from PIL import Image

    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode()


def _json(data: object) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(data).replace("<", "\\u003c")
