"""Split artifacts: the graphs before, of, and after one Euler step, to loop over. Imports no torch.

In most formats it is a folder with ``encoder``, ``step`` and ``decoder`` in the files of the format, ``shifts.npy`` and
the manifest. The step takes the latent ``z``, the ``shifts`` of its time and ``dt``, and gives ``z_next``.

In TFLite it is one file with these three as signatures. Its step takes ``place`` and ``z`` and gives ``z``; shifts and
dt are inside.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from elir_edge.artifacts.artifact import AGAIN
from elir_edge.errors import DataError

SUFFIX = ".split"
PARTS = ENCODER, STEP, DECODER = "encoder", "step", "decoder"
SHIFTS_FILE, MANIFEST_FILE = "shifts.npy", "manifest.json"
LATENT, SHIFTS, DT, NEXT = "z", "shifts", "dt", "z_next"
PLACE = "place"  # of a step among all steps of all numbers of steps
DATA_SUFFIX = ".bin"  # weights beside the file that a runtime opens
MAX_SHIFTS_BYTES = 1 << 30


def times_of(most: int) -> list[Fraction]:
    """Every time k/K of a step for K from 1 to ``most``, each once, in order: those of the rows of ``shifts.npy``."""
    return sorted({Fraction(k, steps) for steps in range(1, most + 1) for k in range(steps)})


def place_of(k: int, steps: int) -> int:
    """The place of step ``k``, from 0, of ``steps``: all steps of one, then of two, of three and so on."""
    return steps * (steps - 1) // 2 + k


def time_rows(most: int) -> np.ndarray:
    """int32: by ``place_of``, the row of ``shifts.npy`` for each step of every number of steps up to ``most``."""
    rows = {time: row for row, time in enumerate(times_of(most))}
    return np.array([rows[Fraction(k, steps)] for steps in range(1, most + 1) for k in range(steps)], np.int32)


def load_shifts(path: Path, rows: int, width: int) -> np.ndarray:
    """The table of the split artifact at ``path``, float32 ``rows`` x ``width``.

    Raises DataError where it is missing, damaged, of another shape, or holds what is not finite.
    """
    place = path / SHIFTS_FILE
    try:
        if place.stat().st_size > MAX_SHIFTS_BYTES:
            raise DataError(f"{place}: larger than any table of shifts", hint=AGAIN)
        table = np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{place}: missing or damaged ({error})", hint=AGAIN) from error
    if table.shape != (rows, width) or table.dtype != np.float32 or not np.isfinite(table).all():
        raise DataError(f"{place}: is {table.dtype} {table.shape}, the step takes float32 {(rows, width)}", hint=AGAIN)
    return np.ascontiguousarray(table)


def runtime_suffix(path: Path) -> str:
    """Suffix that decides which runtimes open the artifact at ``path``: of a split one, that of its parts."""
    if path.suffix != SUFFIX or not path.is_dir():
        return path.suffix
    found = [file.suffix for file in sorted(path.glob(f"{STEP}.*")) if file.suffix != DATA_SUFFIX]
    return found[0] if found else path.suffix
