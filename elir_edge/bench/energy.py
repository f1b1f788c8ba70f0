"""Energy of the processor package, if the machine allows reading it (RAPL through Linux's powercap)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
COUNT, RANGE = "energy_uj", "max_energy_range_uj"
MICRO = 1e-6


@dataclass(frozen=True)
class EnergyMeter:
    """Reads the counters of processor packages; ``reason``: why there are none, None if there are some."""

    counters: tuple[Path, ...]
    reason: str | None = None

    def read(self) -> tuple[float, ...] | None:
        """Joules of each counter since its start, None if nothing can be read."""
        return tuple(_number(path / COUNT) * MICRO for path in self.counters) or None

    def between(self, start: tuple[float, ...] | None, end: tuple[float, ...] | None) -> float | None:
        """Joules between two readings; a counter may have wrapped around once in between."""
        if start is None or end is None:
            return None
        return sum(
            after - before + (_number(path / RANGE) * MICRO if after < before else 0.0)
            for path, before, after in zip(self.counters, start, end, strict=True)
        )


def find_energy_meter(folder: Path = POWERCAP) -> EnergyMeter:
    """A meter of all processor packages; without counters, one with a ``reason``. Memory counters are left out."""
    zones = sorted(path for path in folder.glob("intel-rapl:*") if path.name.count(":") == 1)
    packages = tuple(zone for zone in zones if _text(zone / "name").startswith("package"))
    if not packages:
        return EnergyMeter((), f"no RAPL counters under {POWERCAP}")
    try:
        for path in packages:
            for name in (COUNT, RANGE):
                _number(path / name)
    except PermissionError:
        return EnergyMeter((), "RAPL counters are there, but only root may read them")
    except (OSError, ValueError) as error:
        return EnergyMeter((), f"RAPL counters are there, but hold no number that can be read ({error})")
    return EnergyMeter(packages)


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _number(path: Path) -> int:
    return int(path.read_text())
