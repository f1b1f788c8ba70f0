"""What a family of models is: its specification, its parts, and the ordered list of its stages. Imports no torch.

Everything that has to know a model's skeleton walks that list: the reference model, the static graph, the names of
graph outputs, the drift by stage, the groups of mixed precision. A new family is one folder beside ``elir``, with a
``Family`` in it, and one line in ``registry.py`` (or an entry point ``elir_edge.families`` of another package).
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
    """What a stage's values are: pixels N x 3 x H x W in [0, 1], or a latent N x C x h x w."""

    PIXELS = "pixels"
    LATENT = "latent"


@dataclass
class Walk:
    """A restoration on its way: ``values`` holds the image and every stage so far, by name; all N x C x H x W.

    ``model`` is the reference model or a static graph: both have the family's parts as attributes, except the field,
    whose Euler steps ``model.euler_step(k, z)`` takes, and ``model.add_noise(z, noise)`` adds the flow's noise. Pixels
    inside the model are times ``model.pixel_gain``.
    """

    model: Any
    values: dict[str, Tensor]
    noise: Tensor | None = None


@dataclass(frozen=True)
class Stage:
    """One named value of a restoration.

    Args:
        name: of the value, and of the graph's output: ``encoded``, ``state_1``.
        part: what computes it, as people call it: ``encoder``, ``step 1``.
        group: the group that mixed precision decides about as a whole; stages of a group follow each other.
        module: the path of the submodule of a static graph that computes it; None where it has no weights.
        compute: gives the value from those before it; None where it is the value before under another name. The last
            stage, ``restored``, is computed before the clip to [0, 1].
        space: what the values are.
    """

    name: str
    part: str
    group: str
    module: str | None
    compute: Callable[[Walk], Tensor] | None
    space: Space = Space.LATENT


Rewrite = Callable[[Any], None]


class Family(ABC):
    """A family of restoration models. Instances hold no state; what needs torch is imported inside the methods."""

    name: str
    package: str  # whose folders "presets" and "weights" hold the models that come with it
    field: str | None = None  # the part that is walked in Euler steps; a static graph has one copy a step, "steps.0" ..
    published: Mapping[str, str] = {}  # URLs of published checkpoints; "sr" is asked for as "<family>:sr"

    @property
    @abstractmethod
    def spec(self) -> type[ModelSpec]:
        """The dataclass of its specifications."""

    @abstractmethod
    def parts(self, spec: Any, *, expanded: bool) -> dict[str, nn.Module | None]:
        """The modules of a model, by the prefixes of its tensors' names, in their order; None for one it lacks.

        ``expanded`` builds the collapsible linear blocks of training in place of single convolutions.
        """

    @abstractmethod
    def stages(self, spec: Any, noisy: bool = True) -> tuple[Stage, ...]:
        """All stages in the order in which they are computed, ``restored`` last.

        ``noisy`` False: no noise is added before the first step.
        """

    @abstractmethod
    def rewrites(self) -> tuple[Rewrite, ...]:
        """What makes a static graph cheaper, in order. Each changes the graph in place and keeps its function."""

    def canonical_names(self, tensors: Mapping[str, Any], where: str) -> dict[str, Tensor]:
        """Tensors of a checkpoint by the names of the model. Raises DataError for a naming that is not known."""
        from elir_edge.families.checkpoint import only_tensors

        return only_tensors(tensors, where)

    def has_linear_blocks(self, names: Mapping[str, Any]) -> bool:
        """Whether a checkpoint with these canonical names holds linear blocks that are not collapsed yet."""
        return False


def output_stages(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages that differ as tensors."""
    return tuple(stage for stage in stages if stage.compute is not None)


def walk(stages: tuple[Stage, ...], run: Walk) -> dict[str, Tensor]:
    """Compute every stage in turn; gives ``run.values``, which then has all of them."""
    latest = run.values[IMAGE]
    for stage in stages:
        if stage.compute is not None:
            latest = stage.compute(run)
        run.values[stage.name] = latest
    return run.values
