"""The form in which converters see a static graph: all stages as named outputs."""

from __future__ import annotations

from torch import Tensor, nn

from elir_edge.artifacts.signature import RESTORED
from elir_edge.lowering.static import StaticRestorer


class StagedRestorer(nn.Module):
    """Wraps a static graph so that its outputs are a dict of all stages.

    Converters then give the stages' tensors their names; the exporter drops all outputs but ``restored`` afterwards,
    so that a stage can be looked at later in the very file that ships.
    """

    def __init__(self, graph: StaticRestorer) -> None:
        super().__init__()
        self.static = graph

    def forward(self, image: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Stages by name, ``restored`` last."""
        stages = self.static.stages(image, noise)
        return {name: stages[name] for name in self.output_names()}

    def output_names(self) -> list[str]:
        """Names of the stages that differ as tensors, in the order of ``forward``."""
        names = ["encoded"] + ["coarse"] * (self.static.mmse is not None)
        if self.static.steps:
            names += ["state_0"] * (self.static.form.noise.mode != "zero")
            names += [f"state_{k + 1}" for k in range(len(self.static.steps))]
        return [*names, RESTORED]
