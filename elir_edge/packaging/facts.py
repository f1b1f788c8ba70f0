"""The facts that a package states about its model, from the artifact, its manifest and its golden file."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import Artifact, Manifest, require_runnable
from elir_edge.artifacts.golden import load_golden
from elir_edge.artifacts.signature import IMAGE, RESTORED, TensorSpec
from elir_edge.artifacts.split import LATENT
from elir_edge.core.files import sha256_of
from elir_edge.core.plain import identifier_of
from elir_edge.errors import DataError, UsageError
from elir_edge.formats.graphs import tflite_graphs
from elir_edge.formats.tflite.file import read_model
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.runtime.restore import restore_picture
from elir_edge.runtime.session import open_session
from elir_edge.validation.verify import PICTURE, tolerance_for

TARGET, BACKEND = "tflite", "litert"
LEVELS = 255
MOST_LETTERS = 100  # of a name, as of a model's own


@dataclass(frozen=True)
class PackagedTensor:
    """An input or output of ``spec``; a value v in 0..1 is stored as v / scale + zero_point."""

    spec: TensorSpec
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Facts:
    """``identifier``: the model's name in file names and sources; ``content``: bytes of the model file.

    ``image`` and ``restored``, uint8 H x W x 3, are the input and expected output of the self-test. It passes if no
    value differs by more than ``test_levels`` of 255, or if ``test_db`` > 0 and PSNR >= ``test_db``.
    ``activation_bytes``: largest sum of the bytes of the activations alive at once. ``latent``: what the steps of a
    split artifact change, whose graphs are signatures of one file in ``content``; None where the steps are unrolled.
    """

    identifier: str
    manifest: Manifest
    content: bytes
    input: PackagedTensor
    output: PackagedTensor
    activation_bytes: int
    image: np.ndarray
    restored: np.ndarray
    test_levels: int
    test_db: float
    latent: PackagedTensor | None = None

    @property
    def model_file(self) -> str:
        """Name of the model file inside a package."""
        return f"{self.identifier}.tflite"

    @property
    def crc32(self) -> int:
        """CRC-32 of the model file, as zlib computes it."""
        return zlib.crc32(self.content)

    @property
    def steps(self) -> int:
        """Number of Euler steps; of a split artifact the largest."""
        return int(self.manifest.spec["steps"])

    def packaged_manifest(self) -> Manifest:
        """The manifest beside the packaged model file: with its name there, and without the golden file."""
        files = {self.model_file: hashlib.sha256(self.content).hexdigest()}
        return dataclasses.replace(self.manifest, files=files, golden=None)


def gather_facts(artifact: Artifact, name: str | None = None) -> Facts:
    """The facts of a package of ``artifact``, in whose files and sources the model is called ``name``; None: its own.

    Raises UsageError for artifacts that cannot be packaged: another format than TFLite, a folder, noise as an input, or
    tensors that are neither float32 nor uint8; DataError if the file or its golden file is damaged; MissingInputError
    if the golden file in its manifest is missing; UnavailableError if the manifest has no golden file and LiteRT is
    missing.
    """
    manifest = artifact.manifest
    identifier = identifier_of(name or str(manifest.spec["name"]))
    if name is not None and len(name) > MOST_LETTERS:
        raise UsageError(f"the name has {len(name)} letters", hint=f"--name takes up to {MOST_LETTERS}")
    if name not in (None, identifier):
        raise UsageError(f"'{name}' is no name for C and Kotlin sources", hint=f"--name {identifier}")
    _check(artifact)
    stated = manifest.files.get(artifact.path.name)
    if stated is not None and sha256_of(artifact.path) != stated:
        raise DataError(
            f"{artifact.path}: its content is not what the manifest states (sha256 differs)",
            hint="it is damaged, or made for another version: copy it again, or export it again",
        )
    content = artifact.path.read_bytes()
    model = read_model(content, str(artifact.path))
    image, restored = _golden_pair(artifact)
    tolerance = tolerance_for(manifest)
    return Facts(
        identifier=identifier,
        manifest=manifest,
        content=content,
        input=_tensor(manifest.inputs[0]),
        output=_tensor(manifest.outputs[0]),
        activation_bytes=max(graph.arena_bytes() for graph in tflite_graphs(model)),
        image=image,
        restored=restored,
        test_levels=max(1, round(tolerance.max_abs * LEVELS)),
        test_db=tolerance.elsewhere_db or 0.0,
        latent=_latent(model) if manifest.split else None,
    )


def _check(artifact: Artifact) -> None:
    require_runnable(artifact)
    manifest, path = artifact.manifest, artifact.path
    if manifest.target != TARGET:
        raise UsageError(
            f"{path}: packages run with LiteRT, which does not open '{manifest.target}' artifacts",
            hint="export the model with --target tflite",
        )
    if artifact.path.is_dir():
        raise UsageError(
            f"{path}: packages take one model file, this is a folder",
            hint="export it again: for tflite, --split writes one file",
        )
    names = [tensor.name for tensor in (*manifest.inputs, *manifest.outputs)]
    if names != [IMAGE, RESTORED]:
        raise UsageError(
            f"{path}: packages take one image and nothing else, this artifact has {', '.join(names)}",
            hint="export the model with --noise baked:0 or --noise zero",
        )
    shape = (1, *manifest.size, 3)
    for tensor in (*manifest.inputs, *manifest.outputs):
        if tensor.dtype not in ("float32", "uint8") or tensor.layout != "NHWC" or tensor.shape != shape:
            raise UsageError(
                f"{path}: packages take float32 or uint8 pixels in NHWC order, '{tensor.name}' is {tensor.dtype} "
                f"{tensor.shape} {tensor.layout}",
                hint="export the model with --io float or --io uint8",
            )


def _latent(model: Any) -> PackagedTensor:
    """The latent that the second graph, which is the step, changes."""
    step = model.subgraphs[1]
    shape = tuple(int(side) for side in step.tensors[step.inputs[-1]].shape)
    return PackagedTensor(TensorSpec(LATENT, shape, "float32", "NHWC", "latent"), 1.0, 0)


def _golden_pair(artifact: Artifact) -> tuple[np.ndarray, np.ndarray]:
    """Input and output of the artifact's golden file, uint8; if it has no golden file, the artifact is run now."""
    if artifact.manifest.golden is None:
        image = fit_picture(builtin_photograph(PICTURE), *artifact.manifest.size)
        with open_session(artifact.path, BACKEND) as session:
            return image, restore_picture(session, image)
    golden = load_golden(artifact)
    levels = golden.restored if golden.restored.dtype == np.uint8 else np.rint(golden.restored * np.float32(LEVELS))
    return golden.pixels, levels.astype(np.uint8)


def _tensor(spec: TensorSpec) -> PackagedTensor:
    """uint8 has the levels 0..255, float32 the range 0..1: as in the manifest, whatever scales the graph has inside."""
    return PackagedTensor(spec, 1 / LEVELS if spec.dtype == "uint8" else 1.0, 0)
