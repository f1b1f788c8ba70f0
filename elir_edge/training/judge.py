"""A model judged as the field judges: a set of pictures, fixed conditions, other denoisers beside, in one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.core.data import build_dataclass, parse_yaml
from elir_edge.core.progress import Progress, Silent
from elir_edge.errors import UsageError, did_you_mean
from elir_edge.imaging.pictures import read_picture
from elir_edge.imaging.pixels import to_uint8
from elir_edge.training.conditions import Condition
from elir_edge.training.evaluate import Quality, centre, mean_quality, quality
from elir_edge.training.recipe import PictureFile

Method = Callable[[np.ndarray, float], np.ndarray]  # degraded H x W x 3 of 0..255, sigma -> restored
SHOWN_SIDE = 192


@dataclass(frozen=True)
class PictureSet:
    """A set that everybody judges on: its pictures by file and sha256, and what it is."""

    name: str
    about: str
    pictures: tuple[PictureFile, ...]


@dataclass(frozen=True)
class Verdict:
    """One condition: the mean quality of the input and of each method's result, and PSNR picture by picture.

    ``psnr`` maps ``input`` and each method's name to one figure a picture, in the order of the set. A method that was
    not asked has None and no figures.
    """

    condition: str
    qualities: dict[str, Quality | None]
    psnr: dict[str, list[float]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)


def set_names() -> list[str]:
    """Names of the sets that are known."""
    folder = resources.files("elir_edge.training") / "sets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_set(name: str, folder: Path | None) -> dict[str, np.ndarray]:
    """The pictures of the set ``name``, which are in ``folder``, uint8 H x W x 3, in the set's order.

    Raises UsageError for an unknown set or none given, MissingInputError for a missing picture, DataError for a
    picture of another content.
    """
    if name not in set_names():
        raise UsageError(f"there is no set '{name}'", hint=did_you_mean(name, set_names()))
    text = (resources.files("elir_edge.training") / "sets" / f"{name}.yaml").read_text(encoding="utf-8")
    found: PictureSet = build_dataclass(PictureSet, parse_yaml(text, name), name)
    if folder is None:
        raise UsageError(
            f"the set '{name}' does not come with the package",
            hint=f"--pictures FOLDER with {found.pictures[0].file} and so on: {found.about}",
        )
    hint = "name the folder that has the set's pictures, as they were published"
    return {
        picture.file: read_picture(picture.path_in(folder, f"the set '{name}'", hint)) for picture in found.pictures
    }


def judge_methods(
    pictures: Mapping[str, np.ndarray],
    conditions: Sequence[Condition],
    methods: Mapping[str, Method],
    progress: Progress | None = None,
    of_bytes: Collection[str] = (),
) -> tuple[Verdict, ...]:
    """Degrade every picture under every condition, let every method restore it, and compare with the original.

    The generator of a picture is NumPy's default one, seeded with its place in the set. Results are rounded and clipped
    to 8 bit before they are compared. Methods in ``of_bytes`` take 8-bit pictures: they are not asked about unclipped
    ones.
    """
    verdicts = []
    with (progress or Silent()).stage("judging", len(conditions) * len(pictures)) as advance:
        for condition in conditions:
            asked = methods_for(condition, methods, of_bytes)
            found: dict[str, list[Quality]] = {name: [] for name in ("input", *methods)}
            for index, original in enumerate(pictures.values()):
                degraded = condition.degrade(original, np.random.default_rng(index))
                found["input"].append(quality(to_uint8(degraded), original))
                for name, method in asked.items():
                    found[name].append(quality(to_uint8(method(degraded, condition.sigma)), original))
                advance(1)
            figures = {name: [item.psnr for item in items] for name, items in found.items()}
            means = {name: mean_quality(items) if items else None for name, items in found.items()}
            verdicts.append(Verdict(condition.name, means, figures))
    return tuple(verdicts)


def methods_for(
    condition: Condition, methods: Mapping[str, Method], of_bytes: Collection[str] = ()
) -> dict[str, Method]:
    """The ``methods`` that can be asked about pictures of ``condition``, see ``judge_methods``."""
    return {name: method for name, method in methods.items() if condition.clipped or name not in of_bytes}


def table_of(verdicts: Sequence[Verdict], notes: Mapping[str, str] | None = None) -> str:
    """The verdicts as a Markdown table, PSNR in dB / SSIM; ``notes`` (GFLOP, ms) stand under the methods' names."""
    names = list(verdicts[0].qualities)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    if notes:
        lines.append("| | " + " | ".join(notes.get(name, "") for name in names) + " |")
    for verdict in verdicts:
        cells = (_cell(verdict.qualities[name]) for name in names)
        lines.append(f"| {verdict.condition} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(item: Quality | None) -> str:
    return "-" if item is None else f"{item.psnr:.2f} / {item.ssim:.3f}"


def rows_to_show(
    pictures: Mapping[str, np.ndarray], condition: Condition, methods: Mapping[str, Method], side: int = SHOWN_SIDE
) -> list[list[np.ndarray]]:
    """For each picture: input, each method's result, original; the centre, ``side`` x ``side`` pixels."""
    rows = []
    for index, original in enumerate(pictures.values()):
        degraded = condition.degrade(original, np.random.default_rng(index))
        results = [to_uint8(method(degraded, condition.sigma)) for method in methods.values()]
        rows.append([centre(picture, 1, side) for picture in (to_uint8(degraded), *results, original)])
    return rows
