"""The largest magnitudes inside a graph: half precision has none above 65504."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from elir_edge.errors import GateError
from elir_edge.families.base import IMAGE, Walk
from elir_edge.lowering.static import StaticRestorer, to_nchw

HALF_LARGEST = 65504.0


@dataclass
class Peak:
    """The largest |value| of a stage's tensors, its own among them, and the operator that computes it."""

    value: float = 0.0
    operator: str = ""


class _Magnitudes(TorchFunctionMode):
    """While active, ``peak`` is raised by each floating point tensor that an operator gives."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = Peak()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See ``torch.overrides``."""
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor) and output.is_floating_point() and output.numel():
            with torch._C.DisableTorchFunction():
                largest = float(output.detach().abs().nan_to_num(math.inf).max())
            if largest > self.peak.value:
                self.peak = Peak(largest, getattr(func, "__name__", str(func)))
        return output


def stage_peaks(graph: StaticRestorer, samples: Iterable[tuple[Tensor, ...]]) -> dict[str, Peak]:
    """The peak of each stage over ``samples``, inputs of ``graph``; the stages are those that are computed."""
    peaks: dict[str, Peak] = {}
    with torch.no_grad():
        for image, *noise in samples:
            given = to_nchw(noise[0], graph.form.latent_layout) if noise else None
            run = Walk(graph, {IMAGE: graph.input_image(image)}, given)
            latest = run.values[IMAGE]
            for stage in graph.stage_list():
                if stage.compute is not None:
                    with _Magnitudes() as seen:
                        latest = stage.compute(run)
                    peaks[stage.name] = max(peaks.get(stage.name, Peak()), seen.peak, key=_value)
                run.values[stage.name] = latest
    return peaks


def half_range_facts(graph: StaticRestorer, samples: Iterable[tuple[Tensor, ...]], names: list[str]) -> dict[str, Any]:
    """For the manifest: the largest magnitude of each stage on the pictures ``names``, and where the largest is.

    Raises GateError where one is beyond half precision: runtimes that compute in it would give infinity there.
    """
    peaks = stage_peaks(graph, samples)
    worst = max(peaks, key=lambda name: peaks[name].value)
    if peaks[worst].value > HALF_LARGEST:
        raise GateError(
            f"half precision overflows: {peaks[worst].operator} reaches {peaks[worst].value:.3g} in the stage "
            f"'{worst}', the largest number is {HALF_LARGEST:g}",
            hint="nothing was written; export with --precision fp32 or int8, or train with smaller activations",
        )
    return {
        "limit": HALF_LARGEST,
        "largest": _rounded(peaks[worst].value),
        "stage": worst,
        "operator": peaks[worst].operator,
        "stages": {name: _rounded(peak.value) for name, peak in peaks.items()},
        "pictures": names,
    }


def _value(peak: Peak) -> float:
    return peak.value


def _rounded(value: float) -> float:
    """Two digits: other processors add in another order."""
    return float(f"{value:.1e}")
