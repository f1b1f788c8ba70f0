"""PyTorch models: eager or compiled, in fp32, fp16 or bf16, on CPU or CUDA."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from elir_edge.bench.results import CUDA
from elir_edge.bench.runners import Request, Runner
from elir_edge.bench.variant import TorchVariant
from elir_edge.errors import DeviceError, UsageError
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import ModelSpec
from elir_edge.families.weights import load_restorer, tensors_sha256
from elir_edge.imaging.noise import NoiseContract, draw_noise
from elir_edge.validation.reference import picture_of, to_tensor

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
WARM_UP_BEFORE_CAPTURE = 3


class TorchRunner(Runner):
    """Runs the model of ``request``: spec, weights, size, noise contract, variant, batch."""

    def __init__(self, request: Request) -> None:
        variant = self._variant = TorchVariant.parse(request["variant"])
        if variant.cuda and not torch.cuda.is_available():
            raise DeviceError(
                "no CUDA device, or a CPU build of torch", hint="leave out cuda, or install a CUDA build of torch"
            )
        torch.backends.cudnn.benchmark = True  # sizes never change here; this process runs nothing else
        if request["threads"]:
            torch.set_num_threads(request["threads"])
        if variant.cuda:
            self.device, self.device_name = CUDA, torch.cuda.get_device_name()
        self.arithmetic, self.pictures = variant.dtype, request.get("batch", 1)
        self._place: dict[str, Any] = {"device": "cuda" if variant.cuda else "cpu", "dtype": DTYPES[variant.dtype]}
        restorer = _load(request)
        self._noise = _noise(restorer.spec, request).expand(self.pictures, -1, -1, -1).to(**self._place)
        self._model = self._prepare_model(restorer, request)
        self._image = torch.empty(0)
        self._graph: Any = None
        self._restored = torch.empty(0)

    def prepare(self, pixels: np.ndarray) -> None:
        """Move the picture to the device; with CUDA graphs, capture one run."""
        image = to_tensor(pixels).expand(self.pictures, -1, -1, -1).to(**self._place)
        self._image = image.contiguous(memory_format=self._format())
        if self._variant.cuda_graphs:
            self._capture()

    def run(self) -> None:
        """Restore one batch; on CUDA, returns when the device is done."""
        if self._graph is None:
            self._forward()
        else:
            self._graph.replay()
        if self._variant.cuda:
            torch.cuda.synchronize()

    def restore(self, pixels: np.ndarray) -> np.ndarray:
        """Restore a batch of the picture; returns the first result."""
        self.prepare(pixels)
        self.run()
        return picture_of(self._restored.cpu(), "float")

    def device_peak_bytes(self) -> int | None:
        """Peak bytes that torch's allocator held on the GPU."""
        return torch.cuda.max_memory_allocated() if self._variant.cuda else None

    def _prepare_model(self, restorer: Restorer, request: Request) -> Any:
        model: Any = restorer
        if self._variant.lowered:
            from elir_edge.lowering.lower import lower

            model = lower(restorer, tuple(request["size"]), "input")
        model = model.to(memory_format=self._format(), **self._place)
        return torch.compile(model) if self._variant.compiled else model

    def _format(self) -> torch.memory_format:
        return torch.channels_last if self._variant.channels_last else torch.contiguous_format

    def _forward(self) -> Tensor:
        with torch.inference_mode():
            self._restored = self._model(self._image, self._noise)
        return self._restored

    def _capture(self) -> None:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_BEFORE_CAPTURE):
                self._forward()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._forward()


def _load(request: Request) -> Restorer:
    restorer = load_restorer(ModelSpec.from_dict(request["spec"]), request["weights"])
    expected = request.get("tensors_sha256")
    if expected is not None and tensors_sha256(restorer.state_dict()) != expected:
        raise UsageError(
            "these weights are not the ones the artifacts were made from",
            hint="give the checkpoint that the artifacts were made from with --weights",
        )
    return restorer


def _noise(spec: ModelSpec, request: Request) -> Tensor:
    """The same noise as in the artifacts, so that pictures can be compared."""
    height, width = request["size"]
    shape = spec.latent_shape(height, width)
    contract = NoiseContract(**request["noise"])
    if contract.mode == "zero":
        return torch.zeros(shape)
    return torch.from_numpy(draw_noise(contract.seed or 0, shape))
