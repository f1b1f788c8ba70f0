"""Runners of a worker: an artifact in a session, a PyTorch model, a file of another tool, ncnn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.signature import IMAGE, TensorSpec
from elir_edge.artifacts.tensors import feeds_of, picture_of
from elir_edge.errors import DataError, missing_package
from elir_edge.runtime.mode import CPU, Mode

Request = dict[str, Any]


class Runner(ABC):
    """A loaded model that restores pictures.

    ``device`` and ``arithmetic``: where and in what it computes; ``device_name``: of the GPU, None where it is not
    known; ``pictures``: number of pictures per ``run``.
    """

    device: str = CPU
    device_name: str | None = None
    arithmetic: str = "fp32"
    pictures: int = 1

    @abstractmethod
    def prepare(self, pixels: np.ndarray) -> None:
        """Set the picture that ``run`` restores: uint8 H x W x 3, of the graph's size."""

    @abstractmethod
    def run(self) -> None:
        """Restore the prepared picture once; returns when the result is ready."""

    def run_first(self) -> None:
        """What the cold start ends with: the prepared picture alone, also where ``run`` restores several at once."""
        self.run()

    @abstractmethod
    def restore(self, pixels: np.ndarray) -> np.ndarray:
        """Restore uint8 H x W x 3; returns the graph's output: float32 in 0..1, or uint8."""

    def placement(self) -> dict[str, int]:
        """Number of ops by device; empty if all run on one."""
        return {}

    def device_peak_bytes(self) -> int | None:
        """Peak memory on the accelerator in bytes, None if it is not known."""
        return None


def open_runner(request: Request) -> Runner:
    """The runner for ``request["kind"]``: artifact, torch, file or ncnn. Raises the errors of loading it."""
    if request["kind"] == "torch":
        from elir_edge.bench.torch_runner import TorchRunner

        return TorchRunner(request)
    if request["kind"] == "ncnn":
        return NcnnRunner(request)
    return SessionRunner(request)


class SessionRunner(Runner):
    """Runs an artifact, or (kind ``file``) any file with one image input and one output that a backend opens."""

    def __init__(self, request: Request) -> None:
        from elir_edge.runtime.session import open_session

        mode = Mode(**request.get("mode", {}))
        self._session = open_session(Path(request["path"]), request["backend"], request["threads"], mode=mode)
        self.device = mode.device
        self.arithmetic = request.get("arithmetic", mode.arithmetic)
        self._throughput = mode.hint == "throughput"
        self.pictures = request.get("together", 8) if self._throughput else 1
        self._image = _image_of(self._session.inputs)
        self._feeds: dict[str, np.ndarray] = {}

    def prepare(self, pixels: np.ndarray) -> None:
        """Set the picture; a noise input gets noise of seed 0."""
        others = [tensor for tensor in self._session.inputs if tensor.name != self._image.name]
        self._feeds = feeds_of([self._image, *others], pixels)

    def run(self) -> None:
        """Restore one picture; for throughput, several in parallel."""
        if self._throughput:
            self._session.run_many(self._feeds, self.pictures)
        else:
            self._session.run(self._feeds)

    def run_first(self) -> None:
        """Restore one picture, also for throughput."""
        self._session.run(self._feeds)

    def restore(self, pixels: np.ndarray) -> np.ndarray:
        """Restore one picture; returns the first output, H x W x 3."""
        self.prepare(pixels)
        return picture_of(next(iter(self._session.run(self._feeds).values())), self._image)

    def placement(self) -> dict[str, int]:
        """Number of ops by device, as the session reports it."""
        return self._session.placement()


class NcnnRunner(Runner):
    """Runs a network of ncnn in fp32: ``path`` is the .param file, with the .bin file beside it."""

    def __init__(self, request: Request) -> None:
        try:
            import ncnn
        except ImportError as error:
            raise missing_package("ncnn", "peers") from error
        path = Path(request["path"])
        self._ncnn, self._net = ncnn, ncnn.Net()
        options = self._net.opt
        options.num_threads = request["threads"] or options.num_threads
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        if self._net.load_param(str(path)) or self._net.load_model(str(path.with_suffix(".bin"))):
            raise DataError(f"{path}: ncnn cannot load it", hint="convert it again")
        self._input: Any = None

    def prepare(self, pixels: np.ndarray) -> None:
        """Set the picture as float planes in 0..1."""
        image = np.ascontiguousarray(pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
        self._input = self._ncnn.Mat(image).clone()

    def run(self) -> None:
        """One picture."""
        self._extract()

    def restore(self, pixels: np.ndarray) -> np.ndarray:
        """One picture."""
        self.prepare(pixels)
        return np.array(self._extract()).transpose(1, 2, 0)

    def _extract(self) -> Any:
        extractor = self._net.create_extractor()
        extractor.input("in0", self._input)
        status, restored = extractor.extract("out0")
        if status:
            raise DataError(f"ncnn failed to run the network (status {status})", hint="convert it again")
        return restored


def _image_of(inputs: list[TensorSpec]) -> TensorSpec:
    """The image input; for a file without a manifest its only input, with the layout inferred from the shape."""
    for tensor in inputs:
        if tensor.name == IMAGE and tensor.layout != "unknown":
            return tensor
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise DataError(
            f"not a graph of one image: its inputs are {', '.join(tensor.name for tensor in inputs)}",
            hint="ncnn is compared on graphs with the image as the only input",
        )
    (tensor,) = inputs
    layout = "NCHW" if tensor.shape[1] == 3 else "NHWC"
    return TensorSpec(tensor.name, tensor.shape, tensor.dtype, layout, tensor.values)
