"""The self-test that travels with an artifact: one picture, the noise, and what came out. Imports no torch."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import Artifact, Manifest, require_runnable, sha256_of
from elir_edge.artifacts.signature import IMAGE, NOISE, RESTORED
from elir_edge.errors import DataError, MissingInputError, UsageError
from elir_edge.imaging.comparison import BYTE_LEVELS, Comparison, compare, gate_for
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.runtime import get_backend, open_session
from elir_edge.runtime.base import Session
from elir_edge.runtime.restore import image_input, noise_feeds, to_graph

PICTURE = "astronaut"
NOISE_SEED = 0
PIXELS_FILE, RESTORED_FILE, FINE_FILE, NOISE_FILE = "image.png", "restored.png", "restored_fine.png", "noise.npy"
MAX_MEMBER_BYTES = 256 * 1024 * 1024
EPOCH = (1980, 1, 1, 0, 0, 0)
FINE_LEVELS = 65535


@dataclass(frozen=True)
class Tolerance:
    """``max_abs`` on the scale of 0..1 binds every backend, or only the recording one where ``elsewhere_db`` is given:
    kernels of others round differently, and are held to that PSNR instead.
    """

    max_abs: float
    elsewhere_db: float | None = None

    def accepts(self, item: Comparison, same_backend: bool) -> bool:
        """Whether the difference is within. What cannot be compared never is."""
        if item.problem is not None:
            return False
        if same_backend or self.elsewhere_db is None:
            return item.max_abs <= self.max_abs
        return item.psnr_db >= self.elsewhere_db

    def describe(self, same_backend: bool) -> str:
        """In words, for the backend that is meant."""
        if same_backend or self.elsewhere_db is None:
            return f"at most {self.max_abs:.1e}"
        return f"at least {self.elsewhere_db:.0f} dB"


ONE_LEVEL = BYTE_LEVELS / 255 + 1e-9
ENOUGH_DB = 40.0
OWN_ROUNDING_DB = 3.0


@dataclass(frozen=True)
class Golden:
    """``pixels`` went in (uint8 H x W x 3, RGB), with ``noise`` where the graph takes it; ``restored`` came out.

    ``restored`` is H x W x 3, uint8 for graphs that speak bytes, else float32 0..1 to 1/65535.
    """

    pixels: np.ndarray
    noise: np.ndarray | None
    restored: np.ndarray


@dataclass(frozen=True)
class Verification:
    """An artifact run on its golden input. ``recorded_by`` and ``backend`` name runtime and version."""

    passed: bool
    max_abs: float
    psnr_db: float
    tolerance: str
    backend: str
    recorded_by: str
    problem: str | None = None


def golden_path(path: Path) -> Path:
    """Where the golden file of the artifact at ``path`` lies: beside it."""
    return path.with_name(path.name + ".golden.zip")


def record_golden(path: Path, manifest: Manifest, backend: str) -> dict[str, Any]:
    """Run the artifact on a photograph and write its golden file beside it; gives the facts for the manifest."""
    pixels = fit_picture(builtin_photograph(PICTURE), *manifest.size)
    with open_session(path, backend) as session:
        feeds = noise_feeds(session, NOISE_SEED)
        golden = Golden(pixels, feeds.get(NOISE), _run(session, pixels, feeds))
    target = golden_path(path)
    target.write_bytes(_pack(golden))
    tolerance = tolerance_for(manifest)
    return {
        "file": target.name,
        "sha256": sha256_of(target),
        "picture": PICTURE,
        "backend": backend,
        "backend_version": get_backend(backend).release(),
        "max_abs": tolerance.max_abs,
        "elsewhere_db": tolerance.elsewhere_db,
    }


def load_golden(artifact: Artifact) -> Golden:
    """The golden input, noise and output of an artifact, held against the hash in its manifest.

    Raises MissingInputError where the artifact has none or it is not beside it, DataError where it was changed,
    UsageError for what an NPU's compiler made.
    """
    require_runnable(artifact)
    facts = artifact.manifest.golden
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
    return _read(path, artifact.manifest)


def has_golden(artifact: Artifact) -> bool:
    """Whether the artifact's golden file is beside it, unchanged."""
    try:
        load_golden(artifact)
    except (MissingInputError, DataError, UsageError):
        return False
    return True


def verify(artifact: Artifact, backend: str | None = None) -> Verification:
    """Run the artifact on its golden input, offline and without torch, and compare with the golden output.

    ``backend`` None takes the usual one for the file. Raises MissingInputError or DataError as ``load_golden`` does,
    UsageError and UnavailableError as ``open_session`` does.
    """
    golden = load_golden(artifact)
    facts = artifact.manifest.golden or {}
    with open_session(artifact.path, backend) as session:
        picture = _run(session, golden.pixels, {} if golden.noise is None else {NOISE: golden.noise})
        name = session.backend
    item = compare(picture, golden.restored)
    tolerance = Tolerance(facts["max_abs"], facts["elsewhere_db"])
    same = name == facts["backend"]
    return Verification(
        passed=tolerance.accepts(item, same),
        max_abs=item.max_abs,
        psnr_db=item.psnr_db,
        tolerance=tolerance.describe(same),
        backend=f"{name} {get_backend(name).release()}",
        recorded_by=f"{facts['backend']} {facts['backend_version']}",
        problem=item.problem,
    )


def tolerance_for(manifest: Manifest) -> Tolerance:
    """What an artifact is held to on later runs: fp32 to its gate, others to one level where they were recorded."""
    gate = gate_for(manifest.precision, manifest.io)
    return Tolerance(ONE_LEVEL, own_rounding_db(manifest)) if gate.max_abs is None else Tolerance(gate.max_abs)


def own_rounding_db(manifest: Manifest) -> float:
    """How near two runtimes' pictures of a graph must be: each rounds in its own way, and each may be as far from
    PyTorch as the artifact was found to be; more than its precision's gate is not asked.
    """
    asked = gate_for(manifest.precision).psnr_db or ENOUGH_DB
    parity = (manifest.parity or {}).get("psnr_db", asked + OWN_ROUNDING_DB)
    return round(float(min(asked, parity - OWN_ROUNDING_DB)), 1)


def feeds_of(manifest: Manifest, golden: Golden) -> dict[str, np.ndarray]:
    """A golden input as the graph takes it, for those who run the artifact elsewhere; noise it lacks is zero."""
    feeds = {}
    for tensor in manifest.inputs:
        if tensor.name == IMAGE:
            feeds[IMAGE] = to_graph(golden.pixels.astype(np.float32), tensor)
        else:
            feeds[tensor.name] = np.zeros(tensor.shape, tensor.dtype) if golden.noise is None else golden.noise
    return feeds


def _run(session: Session, pixels: np.ndarray, noise: dict[str, np.ndarray]) -> np.ndarray:
    image = image_input(session)
    restored = session.run({IMAGE: to_graph(pixels.astype(np.float32), image), **noise})[RESTORED]
    picture: np.ndarray = restored[0] if image.layout == "NHWC" else restored[0].transpose(1, 2, 0)
    return picture


def _pack(golden: Golden) -> bytes:
    """A zip of PNGs anybody can look at; floats are kept to 16 bits, the lower 8 as a picture of their own."""
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


def _read(path: Path, manifest: Manifest) -> Golden:
    noise = next((tensor for tensor in manifest.inputs if tensor.name == NOISE), None)
    try:
        with zipfile.ZipFile(path) as file:
            restored = _picture(file, RESTORED_FILE, manifest)
            if manifest.io != "uint8":
                fine = restored.astype(np.uint16) << 8 | _picture(file, FINE_FILE, manifest)
                restored = (fine / FINE_LEVELS).astype(np.float32)
            drawn = np.load(io.BytesIO(_member(file, NOISE_FILE)), allow_pickle=False) if noise else None
            return Golden(_picture(file, PIXELS_FILE, manifest), drawn, restored)
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError, ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged golden file ({error})") from error


def _picture(file: zipfile.ZipFile, name: str, manifest: Manifest) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(_member(file, name)), formats=["PNG"]) as image:
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
