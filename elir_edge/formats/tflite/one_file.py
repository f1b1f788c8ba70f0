"""A split artifact of TFLite as one model with three signatures, whose step finds its time by a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import AGAIN
from elir_edge.artifacts.split import DT, LATENT, PARTS, PLACE, SHIFTS, STEP, load_shifts, time_rows
from elir_edge.errors import DataError
from elir_edge.formats.tflite.edit import add_plain, look_up
from elir_edge.formats.tflite.ends import tensor_map
from elir_edge.formats.tflite.file import read_file
from elir_edge.formats.tflite.join import join


def join_split(folder: Path, most_steps: int) -> Any:
    """The three graphs of the split artifact at ``folder``, which takes up to ``most_steps``, as one model.

    Its signatures are, in this order, ``encoder`` (image -> the stage before the steps), ``step`` (place, z -> z) and
    ``decoder`` (z -> restored). ``place``, int32 of shape 1, is ``place_of(k, steps)`` of ``artifacts.split`` for step
    k of so many; the shifts and dt of all steps are constants of the model. Raises DataError for damaged files.
    """
    models = {name: read_file(folder / f"{name}.tflite") for name in PARTS}
    try:
        _find_times(models[STEP], folder, most_steps)
        (latent,) = models[STEP].signatureDefs[0].outputs
        latent.name = LATENT
        return join(models)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: its graphs are not those of a split artifact ({error})", hint=AGAIN) from error


def _find_times(model: Any, folder: Path, most_steps: int) -> None:
    """Let the step take its place among all steps instead of its shifts and dt."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    ports = {entry.name.decode(): int(entry.tensorIndex) for entry in signature.inputs}
    rows = time_rows(most_steps)
    shifts = load_shifts(folder, int(rows.max()) + 1, int(graph.tensors[ports[SHIFTS]].shape[-1]))
    counts = np.repeat(np.arange(1, most_steps + 1), np.arange(1, most_steps + 1))
    place, row = (add_plain(model, name, rows.dtype, (1,)) for name in (PLACE, "row"))
    look_up(model, shifts, row, ports[SHIFTS])
    look_up(model, rows, place, row)
    look_up(model, (1 / counts).astype(np.float32).reshape(-1, 1, 1, 1), place, ports[DT])
    graph.inputs = [place, ports[LATENT]]
    signature.inputs = [tensor_map(PLACE, place), tensor_map(LATENT, ports[LATENT])]
