"""Runs of one reader in a process of their own: ``python -m tests.fuzz.worker TARGET SEED FIRST LAST``."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elir_edge.core.child_side import limit_memory
from elir_edge.errors import ElirEdgeError, ResourceError
from tests.fuzz.mutate import mutate, rng_of
from tests.fuzz.readers import READERS

MEMORY_BYTES = 6 << 30
LONGEST = 300


def main(target: str, seed: int, first: int, last: int) -> None:
    """Say each run's outcome as a line of JSON before the next one begins."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    reader = READERS[target]
    limit_memory(MEMORY_BYTES)
    with tempfile.TemporaryDirectory() as name:
        seeds = Path(name) / "seeds"
        seeds.mkdir()
        files = reader.seeds(seeds)
        reader.read(seeds / files[0].name)  # what is whole can be read; and its libraries are loaded
        for number in range(first, last):
            with _damage_one(files, Path(name) / "damaged", target, seed, number) as path:
                channel.write(json.dumps({"number": number} | _outcome(reader.read, path)) + "\n")
                channel.flush()


def _outcome(read, path: Path) -> dict[str, object]:
    began = time.process_time()
    detail = ""
    try:
        read(path)
        what = "read"
    except ElirEdgeError as error:
        what, detail = "memory" if isinstance(error, ResourceError) else "refused", str(error)
        if not error.hint:
            what = "no hint"
    except Exception as error:
        what, detail = "UNTYPED", f"{type(error).__name__}: {error}"
    return {"what": what, "detail": detail[:LONGEST], "seconds": time.process_time() - began}


@contextmanager
def _damage_one(files: list[Path], folder: Path, target: str, seed: int, number: int) -> Iterator[Path]:
    """The path to read: one of ``files`` is damaged, those beside it are whole."""
    rng = rng_of(target, seed, number)
    chosen = files[int(rng.integers(len(files)))]
    shutil.copytree(files[0].parent, folder)
    (folder / chosen.name).write_bytes(mutate(chosen.read_bytes(), target, rng))
    try:
        yield folder / (files[0].name if chosen.suffix == ".bin" else chosen.name)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
