"""Core ML (.mlpackage, an ML program for iOS 16 and macOS 13 or newer), straight from PyTorch."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.artifacts.signature import IMAGE, RESTORED
from elir_edge.core.native import captured_output
from elir_edge.errors import missing_package
from elir_edge.formats.mlpackage import block_of, read_spec, set_outputs, write_list, write_spec
from elir_edge.pipeline.target import Conversion, Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from elir_edge.lowering.static import StaticRestorer

PRECISIONS = {"fp32": "FLOAT32", "fp16": "FLOAT16"}
NOTES = ("com.github.apple.coremltools.conversion_date",)  # differs between two exports


def convert(graph: StaticRestorer, conversion: Conversion) -> dict[str, Any]:
    """Write ``stem.mlpackage``. Input and output are pictures (CVPixelBuffer) for io uint8, else arrays."""
    try:
        with captured_output():
            import coremltools
    except ImportError as error:
        raise missing_package("coremltools", "coreml") from error
    path = conversion.folder / f"{conversion.stem}.mlpackage"
    with conversion.progress.stage("converting to Core ML"), captured_output():
        model = coremltools.convert(
            _trace(graph),
            convert_to="mlprogram",
            inputs=_inputs(graph),
            outputs=_outputs(graph),
            compute_precision=getattr(coremltools.precision, PRECISIONS[conversion.precision]),
            minimum_deployment_target=coremltools.target.iOS16,
            skip_model_load=True,
        )
        shutil.rmtree(path, ignore_errors=True)
        model.save(str(path))
    spec = read_spec(path)
    set_outputs(spec, [RESTORED], path)
    for key in NOTES:
        spec.description.metadata.userDefined.pop(key, None)
    write_spec(path, spec)
    write_list(path)
    ops = Counter(op.type for op in block_of(spec).operations if op.type != "const")
    return {"specification": spec.specificationVersion, "ops": dict(sorted(ops.items()))}


def embed(path: Path, text: str) -> None:
    """Write the manifest into the user-defined metadata, which Xcode shows."""
    spec = read_spec(path)
    spec.description.metadata.userDefined[MANIFEST_KEY] = text
    write_spec(path, spec)


def _trace(graph: StaticRestorer) -> Any:
    import torch

    from elir_edge.lowering.static import StagedRestorer

    module: nn.Module = StagedRestorer(graph).eval()
    arguments = graph.example_inputs()
    if graph.form.io == "uint8":
        module = _with_picture_ends(module)
        arguments = (arguments[0].permute(0, 3, 1, 2).float().contiguous(), *arguments[1:])
    with torch.no_grad():
        return torch.export.export(module, arguments).run_decompositions({})


def _with_picture_ends(inner: nn.Module) -> nn.Module:
    """Core ML converts pictures to and from float N x 3 x H x W with the values of bytes."""
    from torch import nn

    class Pictures(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, image: Tensor, noise: Tensor | None = None) -> dict[str, Tensor]:
            stages = self.inner(image.permute(0, 2, 3, 1), noise)
            return stages | {RESTORED: stages[RESTORED].permute(0, 3, 1, 2).to(image.dtype)}

    return Pictures()


def _inputs(graph: StaticRestorer) -> list[Any]:
    import numpy as np
    from coremltools import ImageType, TensorType
    from coremltools.converters.mil.input_types import ColorLayout

    height, width = graph.form.height, graph.form.width
    tensors = graph.inputs()
    image = TensorType(name=IMAGE, shape=tensors[0].shape, dtype=np.float32)
    if graph.form.io == "uint8":
        image = ImageType(name=IMAGE, shape=(1, 3, height, width), color_layout=ColorLayout.RGB)
    noise = [TensorType(name=tensor.name, shape=tensor.shape, dtype=np.float32) for tensor in tensors[1:]]
    return [image, *noise]


def _outputs(graph: StaticRestorer) -> list[Any]:
    import numpy as np
    from coremltools import ImageType, TensorType
    from coremltools.converters.mil.input_types import ColorLayout

    *stages, _ = graph.output_names()
    restored = TensorType(name=RESTORED, dtype=np.float32)
    if graph.form.io == "uint8":
        restored = ImageType(name=RESTORED, color_layout=ColorLayout.RGB)
    return [*(TensorType(name=name, dtype=np.float32) for name in stages), restored]


TARGET = Target(
    name="coreml",
    description="Core ML .mlpackage, an ML program",
    suffixes=(".mlpackage",),
    precisions=("fp32", "fp16"),
    layouts={"float": "NCHW", "uint8": "NHWC"},
    latent_layout="NCHW",
    norm="pointwise",
    backends=("coreml",),
    packages=("torch", "coremltools"),
    extra="coreml",
    convert=convert,
    embed=embed,
    try_it="drag {path} into Xcode",
)
