"""PyTorch, for lowered models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from elir_edge.artifacts.signature import RESTORED, TensorSpec
from elir_edge.errors import UsageError
from elir_edge.lowering.static import StaticRestorer
from elir_edge.runtime.base import Session


class TorchSession(Session):
    """Runs a lowered model in PyTorch."""

    backend = "torch"

    def __init__(self, graph: StaticRestorer, threads: int | None, stages: tuple[str, ...]) -> None:
        self._graph, self._threads = graph, threads
        outputs = [TensorSpec(name, (), "float32", graph.form.layout, "latent") for name in stages]
        super().__init__(graph.inputs(), [*outputs, *graph.form.outputs()])

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads or before)
        try:
            with torch.inference_mode():
                arguments = [torch.from_numpy(feeds[tensor.name]) for tensor in self.inputs]
                stages = self._graph.stages(*arguments)
        finally:
            torch.set_num_threads(before)
        names = [tensor.name for tensor in self.outputs]
        return {name: stages[name].numpy() for name in names}

    def _close(self) -> None:
        del self._graph


def open_session(model: object, threads: int | None, stages: tuple[str, ...]) -> Session:
    """A session for a lowered model. Raises UsageError for any other object."""
    if not isinstance(model, StaticRestorer):
        raise UsageError(
            f"the torch backend runs the result of elir_edge.lower, not {type(model).__name__}",
            hint="give it elir_edge.lower(restorer)",
        )
    return TorchSession(model, threads, tuple(name for name in stages if name != RESTORED))


def devices() -> list[tuple[str, bool, str]]:
    """CUDA, for ``bench`` only."""
    if torch.cuda.is_available():
        return [("CUDA", True, f"{torch.cuda.get_device_name()}, in elir-edge bench")]
    return [("CUDA", False, "no CUDA device, or a CPU build of torch")]
