"""Which run a folder holds: one of another recipe would go on with tiles and stages that are not its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from elir_edge.core.publish import write_file
from elir_edge.errors import DataError, MissingInputError, UsageError
from elir_edge.training.recipe import Recipe, Stage
from elir_edge.training.tiles import TileSpec, find_pictures

NAME = "recipe.json"
TILES = "tiles.npy"


def facts_of(recipe: Recipe, tiles: TileSpec) -> dict[str, Any]:
    """What decides the weights, as JSON has it. Pictures are told by name and size; None where they are not at hand."""
    data = {name: value for name, value in dataclasses.asdict(tiles).items() if name not in ("folder", "pictures")}
    facts = {
        "model": recipe.spec.to_dict(),
        "task": recipe.task,
        "seed": recipe.seed,
        "expanded": recipe.expanded,
        "estimator_from": recipe.estimator_from,
        "begin_wider": recipe.begin_wider,
        "data": data,
        "pictures": _pictures(tiles),
        "stages": [_facts_of_stage(stage) for stage in recipe.stages],
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts))
    return plain


def _facts_of_stage(stage: Stage) -> dict[str, Any]:
    """With the measure that it has by default: writing that into the recipe changes nothing."""
    objective = dataclasses.replace(stage.objective, measure=stage.measure)
    return dataclasses.asdict(dataclasses.replace(stage, objective=objective))


def check_run(folder: Path, now: dict[str, Any]) -> None:
    """Raise UsageError where ``folder`` holds what a run of other facts than ``now`` drew or trained."""
    path = folder / NAME
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        different = _differences(folder, before, now)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: damaged ({error})", hint="choose another folder with -o, or delete this file"
        ) from error
    if different:
        raise UsageError(
            f"{folder}: holds a run of another recipe; different: {', '.join(different)}",
            hint="choose another folder with -o, or delete this one",
        )


def note_run(folder: Path, facts: dict[str, Any]) -> None:
    """Write ``facts`` into ``folder``. Raises OutputError or StorageError.

    Photographs that are not at hand any more stay those that the tiles were cut from.
    """
    path = folder / NAME
    if facts["pictures"] is None and path.is_file() and (folder / TILES).is_file():
        facts = facts | {"pictures": json.loads(path.read_text(encoding="utf-8"))["pictures"]}
    write_file(path, json.dumps(facts, indent=1).encode())


def _differences(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    drawn = (folder / TILES).is_file()
    begun = [stage for stage in before["stages"] if _has_begun(folder, stage["name"])]
    found = [name for name in ("data", "pictures", "seed") if drawn and _is_other(before[name], now[name])]
    if begun:
        decide = ("model", "task", "expanded", "estimator_from", "begin_wider")
        found += [name for name in decide if before.get(name) != now[name]]
    later = dict(enumerate(now["stages"]))
    found += [
        f"stage {stage['name']}"
        for place, stage in enumerate(before["stages"])
        if stage in begun and later.get(place) != stage
    ]
    return found


def _is_other(before: Any, now: Any) -> bool:
    return before != now and None not in (before, now)


def _has_begun(folder: Path, stage: str) -> bool:
    return (folder / f"{stage}.safetensors").is_file() or (folder / stage / "last.ckpt").is_file()


def _pictures(tiles: TileSpec) -> list[tuple[str, int]] | None:
    """Names and sizes of the photographs; of those that a recipe names by their content, no sizes are needed."""
    if tiles.pictures:
        return [(picture.file, 0) for picture in tiles.pictures]
    try:
        return [(path.name, path.stat().st_size) for path in find_pictures(tiles)]
    except (DataError, MissingInputError, OSError):
        return None
