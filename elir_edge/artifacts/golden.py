"""The golden file, an artifact's self-test: one picture, the noise, and the expected output. Imports no torch."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elir_edge.artifacts.artifact import Artifact, Manifest, require_runnable
from elir_edge.artifacts.signature import NOISE
from elir_edge.core.files import sha256_of
from elir_edge.errors import DataError, MissingInputError, UsageError

PIXELS_FILE, RESTORED_FILE, FINE_FILE, NOISE_FILE = "image.png", "restored.png", "restored_fine.png", "noise.npy"
PACKAGE_RECORD = "elir_package.json"
PACKAGE_DEPTH = 5  # folders above the model: that of a C package, and src/main/assets/elir in one for Android
MAX_MEMBER_BYTES = 256 * 1024 * 1024
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    KeyError,
    ValueError,
    EOFError,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
)
EPOCH = (1980, 1, 1, 0, 0, 0)
FINE_LEVELS = 65535


@dataclass(frozen=True)
class Golden:
    """Input ``pixels`` (uint8 H x W x 3, RGB), input ``noise`` or None, and the output ``restored``.

    ``restored`` is H x W x 3: uint8, or float32 in [0, 1] rounded to multiples of 1/65535.
    """

    pixels: np.ndarray
    noise: np.ndarray | None
    restored: np.ndarray


def golden_path(path: Path) -> Path:
    """Path of the golden file beside the artifact at ``path``."""
    return path.with_name(path.name + ".golden.zip")


def load_golden(artifact: Artifact) -> Golden:
    """The golden file of ``artifact``, after a check of its sha256.

    Raises MissingInputError where there is none, DataError where it was changed, UsageError for the output of an NPU
    compiler.
    """
    require_runnable(artifact)
    facts = artifact.manifest.golden
    if facts is None and any(
        (folder / PACKAGE_RECORD).is_file() for folder in list(artifact.path.parents)[:PACKAGE_DEPTH]
    ):
        raise MissingInputError(
            f"{artifact.path}: is the model of a package, which has its self-test beside it instead of a golden file",
            hint="run the package's own self-test: its README.md says how",
        )
    if facts is None:
        raise MissingInputError(
            f"{artifact.path}: was exported without a golden file, so it cannot test itself",
            hint="export it again with this version, or compare with PyTorch: elir-edge validate",
        )
    path = artifact.path.with_name(Path(facts["file"]).name)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: the golden file is not beside the artifact; picture and expected output are in it",
            hint=f"copy {path.name} from where {artifact.path.name} was exported, or export again",
        )
    if sha256_of(path) != facts["sha256"]:
        raise DataError(
            f"{path}: its content is not what the manifest states (sha256 differs)",
            hint="it was changed, or belongs to another export: copy it again",
        )
    return read_golden(path, artifact.manifest)


def has_golden(artifact: Artifact) -> bool:
    """Whether ``load_golden`` would succeed."""
    try:
        load_golden(artifact)
    except (MissingInputError, DataError, UsageError):
        return False
    return True


def pack_golden(golden: Golden) -> bytes:
    """Bytes of the golden file: a zip of PNGs. Floats have 16 bits, whose lower 8 are a PNG of their own."""
    restored = golden.restored
    if restored.dtype == np.uint8:
        pictures = {RESTORED_FILE: restored}
    else:
        fine = np.rint(restored.clip(0, 1) * FINE_LEVELS).astype(np.uint16)
        pictures = {RESTORED_FILE: (fine >> 8).astype(np.uint8), FINE_FILE: (fine & 255).astype(np.uint8)}
    members = {name: _png(pixels) for name, pixels in {PIXELS_FILE: golden.pixels, **pictures}.items()}
    if golden.noise is not None:
        members[NOISE_FILE] = _npy(golden.noise)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return archive.getvalue()


def read_golden(path: Path, manifest: Manifest) -> Golden:
    """Read the golden file at ``path``. Raises DataError where it is damaged."""
    from PIL import Image

    noise = next((tensor for tensor in manifest.inputs if tensor.name == NOISE), None)
    try:
        with zipfile.ZipFile(path) as file:
            restored = _picture(file, RESTORED_FILE, manifest)
            if manifest.io != "uint8":
                fine = restored.astype(np.uint16) << 8 | _picture(file, FINE_FILE, manifest)
                restored = (fine / FINE_LEVELS).astype(np.float32)
            drawn = np.load(io.BytesIO(_member(file, NOISE_FILE)), allow_pickle=False) if noise else None
            return Golden(_picture(file, PIXELS_FILE, manifest), drawn, restored)
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: damaged golden file ({error})", hint="copy it again, or export again") from error


def _picture(file: zipfile.ZipFile, name: str, manifest: Manifest) -> np.ndarray:
    from PIL import Image

    with (
        warnings.catch_warnings(action="ignore"),  # of a size that is refused right below
        Image.open(io.BytesIO(_member(file, name)), formats=["PNG"]) as image,
    ):
        if (image.height, image.width) != manifest.size or image.mode != "RGB":
            raise ValueError(f"{name} is {image.mode} {image.width} x {image.height}")
        return np.asarray(image)


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    if file.getinfo(name).file_size > MAX_MEMBER_BYTES:
        raise ValueError(f"{name} is larger than any golden picture")
    return file.read(name)


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", optimize=True)
    return encoded.getvalue()


def _npy(array: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    np.save(encoded, array, allow_pickle=False)
    return encoded.getvalue()
