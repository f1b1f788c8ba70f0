"""PyTorch, for lowered models."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from elir_edge.artifacts.signature import RESTORED, TensorSpec
from elir_edge.errors import UsageError
from elir_edge.lowering.static import StaticRestorer
from elir_edge.runtime.base import Session

_ONE_AT_A_TIME = threading.RLock()  # the number of threads belongs to the whole process


class TorchSession(Session):
    """Runs a lowered model in PyTorch."""

    backend = "torch"

    def __init__(self, graph: StaticRestorer, threads: int | None, stages: tuple[str, ...]) -> None:
        self._graph, self._threads = graph, threads
        outputs = [TensorSpec(name, (), "float32", graph.form.layout, "latent") for name in stages]
        super().__init__(graph.inputs(), [*outputs, *graph.form.outputs()])

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with _number_of_threads(self._threads), torch.inference_mode():
            arguments = [torch.from_numpy(np.ascontiguousarray(feeds[tensor.name])) for tensor in self.inputs]
            stages = self._graph.stages(*arguments)
        names = [tensor.name for tensor in self.outputs]
        return {name: stages[name].numpy() for name in names}

    def _close(self) -> None:
        del self._graph


@contextmanager
def _number_of_threads(threads: int | None) -> Iterator[None]:
    """Let torch compute in ``threads`` threads while the block runs; None leaves their number."""
    if threads is None:
        yield
        return
    with _ONE_AT_A_TIME:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def open_session(model: object, threads: int | None, stages: tuple[str, ...]) -> Session:
    """A session for a lowered model. Raises UsageError for any other object, or a stage that it has not."""
    if not isinstance(model, StaticRestorer):
        raise UsageError(
            f"the torch backend runs the result of elir_edge.lower, not {type(model).__name__}",
            hint="give it elir_edge.lower(restorer)",
        )
    known = [stage.name for stage in model.stage_list()]
    unknown = [name for name in stages if name not in known]
    if unknown:
        raise UsageError(
            f"the lowered model has no stage called {', '.join(unknown)}", hint=f"it has {', '.join(known)}"
        )
    return TorchSession(model, threads, tuple(name for name in stages if name != RESTORED))


def devices() -> list[tuple[str, bool, str]]:
    """CUDA, for ``bench`` only."""
    if torch.cuda.is_available():
        return [("CUDA", True, f"{torch.cuda.get_device_name()}, in elir-edge bench")]
    return [("CUDA", False, "no CUDA device, or a CPU build of torch")]
