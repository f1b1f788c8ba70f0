"""LiteRT on a GPU or NPU through compiled models; ops that the accelerator does not support run on the CPU."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import GpuOptions, Options

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.core.native import captured_output
from elir_edge.errors import DeviceError, UnavailableError
from elir_edge.formats.tflite.file import read_metadata
from elir_edge.runtime.base import Session
from elir_edge.runtime.mode import CPU, Mode
from elir_edge.runtime.tensor_specs import RuntimeTensor, tensor_specs

ACCELERATORS = {"GPU": HardwareAccelerator.GPU, "NPU": HardwareAccelerator.NPU}
PLACED = re.compile(r"(\d+) operations will run on the \w+, and the remaining (\d+) operations will run on the CPU")
NOT_THERE = re.compile(r"environment: INTERNAL: (.+)")
REASONS = (NOT_THERE, re.compile(r"Failed to apply compiler plugins: (.+)"))


class AcceleratedSession(Session):
    """Runs the first signature of a .tflite file on an accelerator."""

    backend = "litert"

    def __init__(self, path: Path, mode: Mode) -> None:
        if mode.device not in ACCELERATORS:
            raise DeviceError(
                f"LiteRT knows {CPU} and {', '.join(ACCELERATORS)}, no {mode.device}", hint="choose one of these"
            )
        self.device = mode.device
        self._model, said = _compile(path, mode)
        self._placement = _placement(said, mode.device, self._model.is_fully_accelerated())
        key = next(iter(self._model.get_signature_list()))
        inputs = _tensors(self._model.get_input_tensor_details(key))
        outputs = _tensors(self._model.get_output_tensor_details(key))
        self._input_buffers, self._output_buffers = (
            self._model.create_input_buffers(0),
            self._model.create_output_buffers(0),
        )
        super().__init__(*tensor_specs(path, read_metadata(path, MANIFEST_KEY), inputs, outputs))

    def placement(self) -> dict[str, int]:
        """Number of ops by device, as LiteRT reports at compile time."""
        return dict(self._placement)

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for tensor, buffer in zip(self.inputs, self._input_buffers, strict=True):
            buffer.write(feeds[tensor.name])
        self._model.run_by_index(0, self._input_buffers, self._output_buffers)
        return {
            tensor.name: buffer.read(int(np.prod(tensor.shape)), np.dtype(tensor.dtype)).reshape(tensor.shape)
            for tensor, buffer in zip(self.outputs, self._output_buffers, strict=True)
        }

    def _close(self) -> None:
        self._model.close()
        del self._input_buffers, self._output_buffers, self._model


def _compile(path: Path, mode: Mode) -> tuple[CompiledModel, str]:
    """(model, LiteRT's output while compiling). Raises UnavailableError where the accelerator does not start."""
    options = Options(
        hardware_accelerators=ACCELERATORS[mode.device] | HardwareAccelerator.CPU,
        gpu_options=GpuOptions(enforce_f32=mode.arithmetic == "fp32"),
    )
    with captured_output() as said:
        try:
            model = CompiledModel.from_file(str(path), options=options)
        except (RuntimeError, ValueError) as error:
            reason = _reason(said()) or str(error).strip().splitlines()[-1]
            kind = DeviceError if NOT_THERE.search(said()) else UnavailableError  # else it may be the graph's fault
            raise kind(
                f"LiteRT's {mode.device} accelerator does not start here: {reason}", hint="run it on the CPU"
            ) from error
        text = said()
    if not PLACED.search(text) and not model.is_fully_accelerated():
        raise UnavailableError(
            f"LiteRT's {mode.device} accelerator runs no op of this graph: {_reason(text) or 'no reason is given'}",
            hint="run it on the CPU",
        )
    return model, text


def _placement(said: str, device: str, whole: bool) -> dict[str, int]:
    """Empty where LiteRT reports no counts: the accelerator runs everything."""
    found = PLACED.search(said)
    if found is None or whole:
        return {}
    return {device: int(found[1]), CPU: int(found[2])}


def _reason(said: str) -> str | None:
    return next((found[1].strip() for pattern in REASONS if (found := pattern.search(said))), None)


def _tensors(details: Mapping[str, Any]) -> list[RuntimeTensor]:
    return [(name, tuple(item["shape"]), np.dtype(item["dtype"]).name) for name, item in details.items()]
