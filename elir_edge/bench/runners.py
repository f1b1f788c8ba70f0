"""What a worker runs: an artifact in a session, the PyTorch model in one of its forms, a foreign file, ncnn."""

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
    """Something loaded that restores pictures.

    ``device`` and ``arithmetic`` say how; ``pictures`` how many one ``run`` restores.
    """

    device: str = CPU
    arithmetic: str = "fp32"
    pictures: int = 1

    @abstractmethod
    def prepare(self, pixels: np.ndarray) -> None:
        """Make uint8 H x W x 3, of the graph's size, what ``run`` restores."""

    @abstractmethod
    def run(self) -> None:
        """Restore once, and wait for it to be done."""

    @abstractmethod
    def restore(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 H x W x 3 -> the restored picture as the graph gives it: float32 in 0..1, or uint8."""

    def placement(self) -> dict[str, int]:
        """Ops by device, where they are on more than one."""
        return {}

    def device_peak_bytes(self) -> int | None:
        """The most memory of its own that an accelerator held, None where that is not told."""
        return None


def open_runner(request: Request) -> Runner:
    """The runner that ``request["kind"]`` names: artifact, torch, file or ncnn. Raises what its parts raise."""
    if request["kind"] == "torch":
        from elir_edge.bench.torch_runner import TorchRunner

        return TorchRunner(request)
    if request["kind"] == "ncnn":
        return NcnnRunner(request)
    return SessionRunner(request)


class SessionRunner(Runner):
    """An artifact, or (kind ``file``) any file of one image in and one out that a backend opens."""

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
        """Noise, where it is an input, is of seed 0."""
        others = [tensor for tensor in self._session.inputs if tensor.name != self._image.name]
        self._feeds = feeds_of([self._image, *others], pixels)

    def run(self) -> None:
        """One picture; for throughput, several side by side."""
        if self._throughput:
            self._session.run_many(self._feeds, self.pictures)
        else:
            self._session.run(self._feeds)

    def restore(self, pixels: np.ndarray) -> np.ndarray:
        """The first output, as H x W x 3."""
        self.prepare(pixels)
        return picture_of(next(iter(self._session.run(self._feeds).values())), self._image)

    def placement(self) -> dict[str, int]:
        """As the session tells."""
        return self._session.placement()


class NcnnRunner(Runner):
    """A network in ncnn's own form: ``path`` is the .param file, the .bin beside it; fp32 throughout."""

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
        """Planes of floats in 0..1."""
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
    """The image input; of a foreign file, its only one, with the layout that its shape tells."""
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
