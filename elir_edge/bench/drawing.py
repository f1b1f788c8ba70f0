"""Elements of charts: axes, lines, round values, the SVG document. Lengths are in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

WIDTH, LANE, LEFT, RIGHT, TOP, FOOT = 720, 30, 256, 148, 8, 30
LOG_FROM = 8.0


class Axis:
    """Maps values to the width between labels and figures; logarithmic if the values differ much."""

    def __init__(self, low: float, high: float, log: bool | None = None) -> None:
        self.low, self.high = low, high if high > low else low + 1
        self.log = high / low > LOG_FROM if log is None and low > 0 else bool(log)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def grid(self, lanes: int, unit: str) -> str:
        """Vertical lines at round values, with the values below them."""
        bottom, parts = TOP + lanes * LANE, []
        marks = list(self._marks())
        for i, mark in enumerate(marks):
            x, word = self.x(mark), f"{mark:g}" + (f" {unit}" if i == len(marks) - 1 else "")
            parts.append(line(x, TOP, x, bottom, "var(--line)", 1))
            parts.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{word}</text>')
        return "".join(parts)

    def _marks(self) -> Iterable[float]:
        if not self.log:
            return ticks(self.low, self.high)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        marks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        return [mark for mark in marks if self.low <= mark <= self.high]


def padded_range(values: Sequence[float]) -> tuple[float, float]:
    """(low, high): the range of ``values`` and 0, with a margin of 15 % at both ends."""
    low, high = min(0.0, *values), max(values)
    pad = max(0.05, 0.15 * (high - low))
    return low - pad, high + pad


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round values."""
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step = next(step * factor for factor in (0.25, 0.5, 1, 2, 5, 10) if (high - low) / (step * factor) <= 8)
    first = math.ceil(low / step)
    return [round(i * step, 9) for i in range(first, math.floor(high / step) + 1)]


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    """A line from (x1, y1) to (x2, y2)."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def svg_picture(body: str, height: int, style: str = "") -> str:
    """The SVG document of ``height`` with ``body``; ``style``: CSS for a file that stands alone."""
    inside = f"<style>{style}</style>" if style else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img">{inside}{body}</svg>'
    )
