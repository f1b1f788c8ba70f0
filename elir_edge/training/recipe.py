"""Recipes of training runs: frozen dataclasses, read from YAML. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from elir_edge.core.data import build_dataclass, parse_yaml
from elir_edge.core.files import sha256_of
from elir_edge.errors import ConfigError, DataError, MissingInputError, did_you_mean
from elir_edge.families.spec import NAME, ModelSpec, load_spec
from elir_edge.imaging.degradations import find_degradation
from elir_edge.training.objective import Objective, listing

KINDS = ("autoencoder", "flow", "posterior_mean", "rectified_flow")
TAKEN = re.compile(r"weights|.*\.(safetensors|npy|json)", re.IGNORECASE)  # files in the folder of a run
MOST_SEED = 10**8  # the seeds of all stages, steps and devices that follow from it are below 2^64


@dataclass(frozen=True)
class PictureFile:
    """One photograph of a recipe or a set: its path inside the folder of photographs, and what it holds."""

    file: str
    sha256: str

    def path_in(self, folder: Path, named_by: str, hint: str) -> Path:
        """Its path. Raises MissingInputError where it is not in ``folder``, DataError for another content."""
        path = folder / self.file
        if not path.is_file():
            raise MissingInputError(f"{path}: no such file, and {named_by} names it", hint=hint)
        if sha256_of(path) != self.sha256:
            raise DataError(f"{path}: is not the picture that {named_by} names (sha256 differs)", hint=hint)
        return path


@dataclass(frozen=True)
class DataRecipe:
    """``tiles`` squares of ``side`` pixels, a share of them ``procedural``, the rest cut from photographs.

    Those are the ``pictures`` of ``folder``, by file and sha256 (all of its pictures where none is named), and the ones
    inside installed packages, unless ``packaged`` is false. Raises ConfigError for values out of range.
    """

    tiles: int = 10000
    side: int = 128
    procedural: float = 0.6
    packaged: bool = True
    folder: str | None = None
    pictures: tuple[PictureFile, ...] = ()

    def __post_init__(self) -> None:
        if min(self.tiles, self.side) < 1 or not 0.0 <= self.procedural <= 1.0:
            raise ConfigError(
                f"data: tiles {self.tiles}, side {self.side}, procedural {self.procedural} are not all in range",
                hint="tiles and side are at least 1, procedural 0 to 1",
            )


@dataclass(frozen=True)
class Stage:
    """One stage of AdamW. The rate grows for ``warm_up`` steps and falls to 0 over the last ``decay`` of the steps.

    ``kind`` autoencoder: encoder and decoder on clean crops; the others train on degraded crops. flow, ELIR's: encoder,
    estimator, field, and the decoder with ``train_decoder``. Latent-PMRF's are posterior_mean, the estimator, by
    ``measure`` in pixels, and rectified_flow, the field. ``batch`` is per device, ``crop`` in pixels.
    ``latent_noise``: standard deviation of the noise on the latent of an autoencoder stage. ``saturation``: see
    ``tiles.saturate``. Raises ConfigError for values out of range, and for a ``name`` that no folder of a run can have.
    """

    name: str
    kind: str = "flow"
    steps: int = 1000
    batch: int = 16
    crop: int = 64
    rate: float = 2e-4
    warm_up: int = 200
    decay: float = 0.3
    weight_decay: float = 0.02
    clip: float = 1.0
    train_decoder: bool = False
    latent_noise: float = 0.0
    saturation: float = 1.0
    objective: Objective = dataclasses.field(default_factory=Objective)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or TAKEN.fullmatch(self.name):
            raise ConfigError(
                f"stage '{self.name:.100}': its folder and file in that of the run cannot be called so",
                hint="use letters, digits, '_', '-', '+' and '.', not '.' or '-' first; not weights, nor a file's name"
                " (.npy, .json, .safetensors)",
            )
        if self.kind not in KINDS:
            raise ConfigError(f"stage {self.name}: kind is '{self.kind}'", hint=did_you_mean(self.kind, KINDS))
        if min(self.steps, self.batch, self.crop) < 1 or self.warm_up < 0 or not 0.0 <= self.decay <= 1.0:
            raise ConfigError(
                f"stage {self.name}: steps {self.steps}, batch {self.batch}, crop {self.crop}, warm_up {self.warm_up}, "
                f"decay {self.decay} are not all in range",
                hint="steps, batch and crop are at least 1, warm_up at least 0, decay 0 to 1",
            )
        others = {name: getattr(self, name) for name in ("rate", "saturation", "weight_decay", "clip", "latent_noise")}
        if not (self.rate > 0.0 and self.saturation >= 1.0 and all(0.0 <= v < math.inf for v in others.values())):
            raise ConfigError(
                f"stage {self.name}: {listing(others)} are not all in range",
                hint="rate is above 0, saturation at least 1, the others at least 0, and all finite",
            )

    @property
    def measure(self) -> str:
        """The objective's; else squared for the posterior mean, which minimizes that error, and absolute for others."""
        return self.objective.measure or ("squared" if self.kind == "posterior_mean" else "absolute")

    def rate_at(self, step: int) -> float:
        """Factor of ``rate`` in optimizer step ``step``, counted from 0."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return max(0.0, min(1.0, (step + 1) / max(1, self.warm_up), left))


@dataclass(frozen=True)
class Recipe:
    """A run: preset of the model, name of the degradation, data, and the stages in order.

    ``estimator_from``: an ELIR preset with weights whose networks are the first weights of a stacked estimator.
    ``begin_wider``: a preset with weights of the same form, with fewer channels, whose function the model begins with.
    Raises ConfigError for an unknown degradation, repeated names of stages, kinds that the model's family does not
    have, and for crops that the model or the tiles do not allow.
    """

    preset: str
    task: str
    seed: int
    data: DataRecipe
    stages: tuple[Stage, ...]
    expanded: bool = True
    estimator_from: str | None = None
    begin_wider: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MOST_SEED:
            raise ConfigError(f"recipe: seed {self.seed}", hint=f"choose one of 0 to {MOST_SEED}")
        find_degradation(self.task)
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ConfigError(
                f"recipe: stages need different names, got {names}",
                hint="give at least one stage, each with a name of its own",
            )
        multiple, known = self.spec.size_multiple, self.spec.family.objectives
        for stage in self.stages:
            if stage.kind not in known:
                raise ConfigError(
                    f"stage {stage.name}: the family {self.spec.family_name} has no stages of kind '{stage.kind}'",
                    hint=did_you_mean(stage.kind, known),
                )
            if stage.crop % multiple or stage.crop > self.data.side:
                raise ConfigError(
                    f"stage {stage.name}: crop {stage.crop} is no multiple of {multiple} of at most {self.data.side}",
                    hint="change crop, or the side of the tiles",
                )

    @property
    def spec(self) -> ModelSpec:
        """The specification of the model."""
        return load_spec(self.preset)


def recipe_names() -> list[str]:
    """Names of the recipes of the package, sorted."""
    folder = resources.files("elir_edge.training") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(recipe: str) -> Recipe:
    """The recipe for the name of a packaged recipe or the path of a YAML file.

    Raises ConfigError for an unknown name or an invalid file, MissingInputError for a missing file.
    """
    if recipe in recipe_names():
        resource = resources.files("elir_edge.training") / "recipes" / f"{recipe}.yaml"
        return parse_recipe(resource.read_text(encoding="utf-8"), f"recipe {recipe}")
    if not recipe.endswith((".yaml", ".yml")):
        raise ConfigError(f"there is no recipe '{recipe}'", hint=did_you_mean(recipe, recipe_names()))
    path = Path(recipe)
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file", hint=f"recipes of the package: {', '.join(recipe_names())}")
    try:
        return parse_recipe(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text", hint="save it as UTF-8") from error


def parse_recipe(text: str, where: str = "recipe") -> Recipe:
    """Parse a YAML document. Raises ConfigError, with the key, for an unknown, missing or mistyped one."""
    data = parse_yaml(text, where)
    try:
        return build_dataclass(Recipe, data, where)
    except TypeError as error:
        raise ConfigError(
            f"{where}: {error}", hint="compare it with a recipe of the package, elir_edge/training/recipes"
        ) from error
