"""int8 OpenVINO models, through NNCF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from elir_edge.errors import missing_package
from elir_edge.native import captured_output
from elir_edge.progress import Progress

BIAS_SHARE = 0.2


def quantize_ir(
    model: Any,
    feeds: Sequence[Mapping[str, np.ndarray]],
    progress: Progress,
    float_ops: frozenset[str] = frozenset(),
) -> Any:
    """The int8 form of ``model`` (an ``openvino.Model`` in fp32, which is not changed).

    Args:
        model: as the openvino target makes it, before it is saved.
        feeds: the graph's inputs by name, one mapping for each calibration sample, at least one.
        progress: told of the stages.
        float_ops: friendly names of nodes that stay fp32.
    """
    try:
        with captured_output():
            import nncf
    except ImportError as error:
        raise missing_package("nncf", "openvino") from error
    with progress.stage("quantizing with NNCF"), captured_output():
        return nncf.quantize(
            model,
            nncf.Dataset([dict(sample) for sample in feeds]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=round(len(feeds) / BIAS_SHARE),
            fast_bias_correction=False,
            ignored_scope=nncf.IgnoredScope(names=sorted(float_ops), validate=False),
        )


def nodes_by_stage(model: Any, stages: Iterable[str]) -> dict[str, set[str]]:
    """Friendly names of the nodes by the first of ``stages``, tensors in the order in which they run, that needs them."""
    made = {name: port.get_node() for node in model.get_ops() for port in node.outputs() for name in port.get_names()}
    taken: set[str] = set()
    found: dict[str, set[str]] = {}
    for stage in stages:
        found[stage] = set()
        waiting = [made[stage]]
        while waiting:
            node = waiting.pop()
            if node.get_friendly_name() not in taken:
                taken.add(node.get_friendly_name())
                found[stage].add(node.get_friendly_name())
                waiting += [value.get_node() for value in node.input_values()]
    return found
