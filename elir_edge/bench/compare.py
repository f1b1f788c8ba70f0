"""Comparison of two benchmarks: rows that are slower beyond the noise, wrong, or failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from elir_edge.bench.machine import PACKAGES
from elir_edge.bench.results import ABSENT, FAILED, WRONG, Results, Row
from elir_edge.bench.statistics import STABLE, error_from_spread, median_error, medians_of
from elir_edge.runtime.backend import TORCH

SAME, SLOWER, FASTER, BROKEN, GONE, NEW, MENDED = "same", "SLOWER", "faster", "BROKEN", "GONE", "new", "mended"


@dataclass(frozen=True)
class Change:
    """One row in two runs. ``factor``: new speed / old speed; ``noise``: relative uncertainty of ``factor``; ``by``:
    whether speeds are ratios to PyTorch in the same run, or pictures per second."""

    label: str
    verdict: str
    factor: float | None = None
    noise: float | None = None
    by: str = ""
    memory: float | None = None
    detail: str = ""

    @property
    def regressed(self) -> bool:
        """Whether the row is slower beyond the noise, newly wrong or failed, or missing."""
        return self.verdict in (SLOWER, BROKEN, GONE)


@dataclass(frozen=True)
class _Measured:
    """A row with facts of its section: whether its ratio is to PyTorch, and the load by other processes."""

    row: Row
    relative: bool
    others: float


def compare_results(old: Results, new: Results) -> list[Change]:
    """The rows of the new run in their order, then those of the old run that are missing in the new one."""
    before, after = _by_key(old), _by_key(new)
    changes = [_change(before.get(key), found) for key, found in after.items()]
    return changes + [Change(found.row.label, GONE) for key, found in before.items() if key not in after]


def differences(old: Results, new: Results) -> list[str]:
    """What else than the code differs between two runs, a line each: machine, threads, versions, model, GPU."""
    before, after = _facts(old), _facts(new)
    return [f"{name}: {before[name]} -> {value}" for name, value in after.items() if before.get(name, value) != value]


def _facts(results: Results) -> dict[str, str]:
    """What speeds depend on besides the code, by name."""
    machine = results.machine
    told: dict[str, object] = {name: machine.get(name) for name in ("processor", "cores", "system", "python")}
    told |= {"threads": results.settings.get("threads") or "all"}
    told |= {name: machine["versions"].get(name, "not installed") for name in PACKAGES}
    for section in results.sections:
        model = section.model
        where = f"{model.name} at {model.size[0]} x {model.size[1]}"
        told |= {f"weights of {where}": model.weights, f"steps of {where}": model.steps}
        told |= {f"GPU of {row.label}": row.device_name for row in section.rows if row.device_name}
    return {name: str(value) for name, value in told.items()}


def _by_key(results: Results) -> dict[tuple[object, ...], _Measured]:
    """Rows by model, ``Row.key`` and number among rows with equal keys, without those whose device is missing."""
    found: dict[tuple[object, ...], _Measured] = {}
    seen: Counter[tuple[object, ...]] = Counter()
    for section in results.sections:
        for row in section.rows:
            if row.status == ABSENT:
                continue
            key = (section.model.name, section.model.size, *row.key)
            relative = section.rows[0].backend == TORCH and row is not section.rows[0]
            found[*key, seen[key]] = _Measured(row, relative, section.noise.others or 0.0)
            seen[key] += 1
    return found


def _change(before: _Measured | None, after: _Measured) -> Change:
    new = after.row
    if before is None:
        return Change(new.label, NEW, detail=new.error or (new.status if new.status in (FAILED, WRONG) else ""))
    old = before.row
    if new.status in (FAILED, WRONG):
        verdict = SAME if old.status == new.status else BROKEN
        return Change(new.label, verdict, detail=new.error or f"{new.status}; was {old.status}")
    if old.status == FAILED:
        return Change(new.label, MENDED)
    return _speed_change(before, after)


def _speed_change(before: _Measured, after: _Measured) -> Change:
    """Compares the ratios to PyTorch if both rows have one: a slower machine slows both, and is no regression."""
    old, new = before.row, after.row
    assert old.latency is not None and new.latency is not None
    by = "against PyTorch"
    if before.relative and after.relative and old.ratio and new.ratio:
        factor = new.ratio[1] / old.ratio[1]
        noise = STABLE + _ratio_error(old) + _ratio_error(new)
    else:
        by, factor = "FPS", old.latency.p50 / new.latency.p50
        errors = sum(median_error(medians_of(row.rounds)) for row in (old, new))
        noise = STABLE + errors + abs(before.others - after.others)
    verdict = SLOWER if factor < 1 - noise else FASTER if factor > 1 + noise else SAME
    memory = new.peak_bytes / old.peak_bytes if new.peak_bytes and old.peak_bytes else None
    return Change(new.label, verdict, factor, noise, by, memory, f"was {WRONG}" if old.status == WRONG else "")


def _ratio_error(row: Row) -> float:
    """Twice the standard error of the median ratio, from its quartiles over the rounds."""
    assert row.ratio is not None
    low, median, high = row.ratio
    return error_from_spread((high - low) / median, len(row.rounds))
