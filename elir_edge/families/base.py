"""Families of models: a specification, parts, and an ordered list of stages. Imports no torch.

All code that needs the structure of a model reads the list of stages: the reference model, the static graph, the names
of graph outputs, the drift by stage, the groups of mixed precision. A new family is a folder beside ``elir`` with a
``Family`` in it, and one line in ``registry.py`` or an entry point ``elir_edge.families`` of another package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from elir_edge.families.spec import ModelSpec

IMAGE, NOISE, RESTORED = "image", "noise", "restored"
BYTE_RANGE = 255.0


class Space(StrEnum):
    """Kind of a stage's values: pixels N x 3 x H x W, clipped to [0, 1], or a latent N x C x h x w."""

    PIXELS = "pixels"
    LATENT = "latent"


@dataclass
class Walk:
    """State of one restoration: ``values`` has the image and the stages computed so far, by name, all N x C x H x W.

    ``model`` is the reference model or a static graph. Both have the family's parts as attributes, except the field:
    ``model.euler_step(k, z)`` does a step with it. ``model.add_noise(z, noise)`` adds the noise of the flow. Pixels
    inside the model are multiplied by ``model.pixel_gain``.
    """

    model: Any
    values: dict[str, Tensor]
    noise: Tensor | None = None


@dataclass(frozen=True)
class Stage:
    """One named value of a restoration.

    Args:
        name: of the value and of the graph's output: ``encoded``, ``state_1``.
        part: the part that computes it, for people: ``encoder``, ``step 1``.
        group: the group of mixed precision; all stages of a group have one precision and follow each other.
        module: path of the submodule of a static graph that computes it; None where it has no weights.
        compute: computes the value from the earlier ones; None where it equals the stage before. The last stage,
            ``restored``, has one; its value is not yet clipped to [0, 1].
        space: kind of the values.
    """

    name: str
    part: str
    group: str
    module: str | None
    compute: Callable[[Walk], Tensor] | None
    space: Space = Space.LATENT


Rewrite = Callable[[Any], None]


class Family(ABC):
    """A family of restoration models. Instances have no state; torch is imported inside the methods."""

    name: str
    package: str  # its folders "presets" and "weights" have the models that come with it
    field: str | None = None  # the part that Euler steps integrate; a static graph has one copy per step, "steps.0" ..
    encoder, decoder = "encoder", "decoder"  # the parts that stages of training of kind "autoencoder" train
    objectives: tuple[str, ...] = ()  # the kinds of stages of training that the family has
    config_parts: tuple[str, ...] = ()  # a config.json beside the tensors of these parts states something of the model
    published: Mapping[str, str] = {}  # URLs of published checkpoints by task; users write "<family>:sr"

    @property
    @abstractmethod
    def spec(self) -> type[ModelSpec]:
        """The dataclass of the family's specifications."""

    @abstractmethod
    def parts(self, spec: Any, *, expanded: bool) -> dict[str, nn.Module | None]:
        """The modules of a model by name, in order; None for a part that this model lacks.

        The names are the prefixes of the tensors in its checkpoints. ``expanded`` builds the collapsible linear blocks
        of training instead of single convolutions.
        """

    @abstractmethod
    def stages(self, spec: Any, noisy: bool = True) -> tuple[Stage, ...]:
        """All stages in the order of execution, ``restored`` last. ``noisy`` False: no noise before the first step."""

    @abstractmethod
    def rewrites(self) -> tuple[Rewrite, ...]:
        """Rewrites that make a static graph cheaper, in order. Each changes it in place and keeps its function."""

    def canonical_names(self, tensors: Mapping[str, Any], where: str) -> dict[str, Tensor]:
        """Tensors of a checkpoint, or the averages in one of training, under the names of the model.

        Raises DataError for an unknown naming.
        """
        from elir_edge.families.tensor_names import is_part, only_tensors, parts_of_training

        if any(is_part(key, value) for key, value in tensors.items()):
            return parts_of_training(tensors, where)
        return only_tensors(tensors, where)

    def with_config(self, spec: Any, config: Mapping[str, Any], where: str) -> Any:
        """``spec`` with what a ``config.json`` beside tensors of ``config_parts`` states; ``where`` names that file.

        What the file does not state stays. Raises ConfigError for what does not fit ``spec``.
        """
        return spec

    def reconstruct(self, model: Any, image: Tensor) -> Tensor | None:
        """Decoder of encoder of ``image``, N x 3 x H x W in [0, 1], if no restored picture can be closer to its
        original than that; None where the encoder is trained to restore too.
        """
        return None

    def has_linear_blocks(self, names: Mapping[str, Any]) -> bool:
        """Whether a checkpoint with these canonical names has linear blocks that are not collapsed."""
        return False


def output_stages(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages that are tensors of their own: those with a ``compute``."""
    return tuple(stage for stage in stages if stage.compute is not None)


def walk(stages: tuple[Stage, ...], run: Walk) -> dict[str, Tensor]:
    """Compute every stage in order; returns ``run.values``, which then has all of them.

    A first stage without a ``compute`` equals the last of the values given.
    """
    latest = list(run.values.values())[-1]
    for stage in stages:
        if stage.compute is not None:
            latest = stage.compute(run)
        run.values[stage.name] = latest
    return run.values


def euler_stage(k: int) -> Stage:
    """The stage ``state_{k+1}``: Euler step ``k`` from ``state_k``, with the field's weights."""

    def compute(run: Walk) -> Tensor:
        z: Tensor = run.model.euler_step(k, run.values[f"state_{k}"])
        return z

    return Stage(f"state_{k + 1}", f"step {k + 1}", f"step {k + 1}", f"steps.{k}", compute)
