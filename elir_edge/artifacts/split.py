"""Split artifacts: a folder with the graphs before, of, and after one Euler step, to loop over. Imports no torch.

The folder has ``encoder``, ``step`` and ``decoder`` in the files of a format, ``shifts.npy`` and the manifest. The step
takes the latent ``z``, the ``shifts`` of its time and ``dt``, and gives ``z_next``.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

SUFFIX = ".split"
ENCODER, STEP, DECODER = "encoder", "step", "decoder"
SHIFTS_FILE, MANIFEST_FILE = "shifts.npy", "manifest.json"
LATENT, SHIFTS, DT, NEXT = "z", "shifts", "dt", "z_next"
DATA_SUFFIX = ".bin"  # weights beside the file that a runtime opens


def times_of(most: int) -> list[Fraction]:
    """Every time k/K of a step for K from 1 to ``most``, each once, in order: those of the rows of ``shifts.npy``."""
    return sorted({Fraction(k, steps) for steps in range(1, most + 1) for k in range(steps)})


def runtime_suffix(path: Path) -> str:
    """Suffix that decides which runtimes open the artifact at ``path``: of a split one, that of its parts."""
    if path.suffix != SUFFIX or not path.is_dir():
        return path.suffix
    found = [file.suffix for file in sorted(path.glob(f"{STEP}.*")) if file.suffix != DATA_SUFFIX]
    return found[0] if found else path.suffix
