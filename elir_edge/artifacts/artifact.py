"""Artifacts: the files or the folder that a runtime loads, and the manifest beside them. Imports no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elir_edge.artifacts.facts import check_facts
from elir_edge.artifacts.precision import PRECISIONS
from elir_edge.artifacts.signature import StageSpec, TensorSpec
from elir_edge.core.files import files_of, sha256_of
from elir_edge.errors import DataError, MissingInputError, UsageError
from elir_edge.families.spec import ModelSpec

MANIFEST_SCHEMA = 1
NAMED_WEIGHTS = ("random", "packaged", "published")
MANIFEST_KEY = "elir_edge"
RUN_ANYWHERE = ("micro",)  # compilers whose output the usual runtimes still load
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
NEWER = "it may be of a newer elir-edge: install that: pip install --upgrade elir-edge"
WHOLE_AGAIN = "copy the whole artifact again"
AGAIN = "copy it again from where it was exported, or export it again"


@dataclass(frozen=True)
class Manifest:
    """Description of an artifact for its users. Has no time, path or user name.

    Args:
        weights: source of the weights and its sha256. noise: where the graph takes its noise from.
        stages: the stages that can be found in the graph by name, in the order of execution.
        parity: figures of the comparison with PyTorch.
        quantization: calibration of an integer artifact, whether it misses its gate (``degraded``), and for ``mixed``
            the search; its latencies are in the manifest beside the artifact only.
        golden: the self-test file beside the artifact, its sha256 and tolerance.
        compiled: for the output of an NPU compiler: device, source and figures.
        split: of a split artifact: ``most_steps``, the largest number of Euler steps that it can run.
        activations: of an fp16 artifact: the largest magnitude of each stage's tensors, against that of half precision.
        request: sha256 of everything that decides the artifact.
        files: sha256 by file name, in the manifest beside the artifact only.
    """

    target: str
    precision: str
    spec: dict[str, Any]
    weights: dict[str, Any]
    size: tuple[int, int]
    io: str
    layout: str
    noise: dict[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    stages: tuple[StageSpec, ...]
    graph: dict[str, Any]
    format: dict[str, Any]
    versions: dict[str, str]
    request: str
    parity: dict[str, Any] | None = None
    golden: dict[str, Any] | None = None
    compiled: dict[str, Any] | None = None
    quantization: dict[str, Any] | None = None
    split: dict[str, Any] | None = None
    activations: dict[str, Any] | None = None
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    schema: int = MANIFEST_SCHEMA

    def to_json(self) -> str:
        """JSON with sorted keys: equal manifests give equal text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, indent=1, ensure_ascii=True) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> Manifest:
        """Parse a manifest. Raises DataError, with ``where`` in its text, for any other text."""
        try:
            data = json.loads(text)
            _check_version(data, where)
            check_facts(data)
            for key in ("inputs", "outputs"):
                data[key] = tuple(TensorSpec.from_dict(item) for item in data[key])
            data["stages"] = tuple(StageSpec.from_dict(item) for item in data["stages"])
            height, width = data["size"]
            return cls(**data | {"size": (height, width)})
        except KeyError as error:
            raise DataError(f"{where}: not an elir-edge manifest ({error} is missing)", hint=AGAIN) from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{where}: not an elir-edge manifest ({error})", hint=AGAIN) from error

    def model_spec(self) -> ModelSpec:
        """The model's specification. Raises ConfigError where it is invalid."""
        return ModelSpec.from_dict(self.spec, "manifest.spec")

    @property
    def names_its_weights(self) -> bool:
        """Whether ``load_restorer`` can load the weights by their name: random, packaged or published ones."""
        return self.weights["kind"] in NAMED_WEIGHTS and ":" in str(self.weights["name"])

    @property
    def trained(self) -> bool:
        """False for random stand-in weights."""
        return bool(self.weights.get("trained"))


def _check_version(data: dict[str, Any], where: str) -> None:
    """Raise DataError for a manifest that another version of elir-edge wrote."""
    schema = data.get("schema")
    if schema != MANIFEST_SCHEMA:
        newer = type(schema) is int and schema > MANIFEST_SCHEMA
        raise DataError(
            f"{where}: manifest schema {schema!r}, this version reads {MANIFEST_SCHEMA}",
            hint=NEWER if newer else "export the artifact again with this version",
        )
    unknown = sorted(data.keys() - {field.name for field in dataclasses.fields(Manifest)})
    if unknown:
        raise DataError(f"{where}: holds {', '.join(unknown)}, which this version does not know", hint=NEWER)
    if isinstance(data.get("precision"), str) and data["precision"] not in PRECISIONS:
        raise DataError(f"{where}: the precision {data['precision']} is not known to this version", hint=NEWER)


@dataclass(frozen=True)
class Artifact:
    """``path`` is what a session opens: a file (the .xml of an OpenVINO pair) or, for some formats, a folder.

    ``fresh`` is False where it existed before the export.
    """

    path: Path
    manifest: Manifest
    fresh: bool = True

    @property
    def parts(self) -> list[Path]:
        """The files, for some formats folders, that a runtime needs; the manifest beside them is none."""
        return [self.path.parent / name for name in self.manifest.files] or parts_of(self.path)

    @property
    def size_bytes(self) -> int:
        """Size in bytes of all files that a runtime needs."""
        return sum(file.stat().st_size for part in self.parts for file in files_of(part))


def parts_of(path: Path) -> list[Path]:
    """The files and folders that a runtime needs for the artifact at ``path``, by their usual names."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]


def model_sha256(path: Path) -> str:
    """Hex sha256 of all that a runtime loads for ``path``; that of a single file or folder is its own.

    Raises DataError where a part is missing.
    """
    parts = parts_of(path)
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise DataError(f"{path}: incomplete, {', '.join(missing)} is missing", hint=WHOLE_AGAIN)
    if len(parts) == 1:
        return sha256_of(path)
    return hashlib.sha256("".join(sha256_of(part) for part in parts).encode()).hexdigest()


def require_runnable(artifact: Artifact) -> None:
    """Raise UsageError, with the source artifact, for the output of an NPU compiler: no runtime here can load it."""
    compiled = artifact.manifest.compiled
    if compiled is not None and compiled["compiler"] not in RUN_ANYWHERE:
        raise UsageError(
            f"{artifact.path}: is compiled for {compiled['device']}, which no runtime here can run",
            hint=f"use {compiled['made_from']['name']}, from which it was compiled",
        )


def require_whole(artifact: Artifact) -> None:
    """Raise UsageError for a split artifact, which has three graphs."""
    if artifact.manifest.split is not None:
        raise UsageError(
            f"{artifact.path}: is a split artifact, whose graphs are not one", hint="export the model without --split"
        )


def sidecar(path: Path) -> Path:
    """Path of the manifest beside the artifact at ``path``."""
    return path.with_name(path.name + ".json")


def is_there(path: Path) -> bool:
    """Whether ``path`` is a file, or a folder with a suffix, as artifacts of some formats are."""
    return path.is_file() or (path.is_dir() and path.suffix != "")


def load_artifact(path: str | Path) -> Artifact:
    """The artifact at ``path``, after a check of its files' sha256 against the manifest beside it.

    Raises MissingInputError where the artifact or its manifest is missing, DataError where they disagree.
    """
    path = Path(path)
    if not is_there(path):
        raise MissingInputError(f"{path}: no such file", hint="check the name; elir-edge export writes artifacts")
    beside = sidecar(path)
    if not beside.is_file():
        raise MissingInputError(
            f"{beside}: the manifest beside the artifact is missing",
            hint=f"copy it from where {path.name} was exported",
        )
    if beside.stat().st_size > MAX_MANIFEST_BYTES:
        raise DataError(f"{beside}: larger than any manifest", hint=AGAIN)
    manifest = Manifest.from_json(beside.read_text(encoding="utf-8", errors="replace"), str(beside))
    check_files(path, manifest)
    return Artifact(path, manifest, fresh=False)


def check_files(path: Path, manifest: Manifest) -> None:
    """Raise DataError unless every file of ``manifest`` is beside ``path`` and has the stated sha256."""
    if path.name not in manifest.files:
        raise DataError(
            f"{path}: the manifest beside it is that of {', '.join(manifest.files) or 'no file'}",
            hint="keep the names that the export gave: the manifest is held to them",
        )
    for name, digest in manifest.files.items():
        file = path.parent / name
        if Path(name).name != name or not is_there(file) or any(part.is_symlink() for part in (file, *files_of(file))):
            raise DataError(
                f"{path}: its file '{name}' is missing or not a plain file beside it",
                hint="copy all files of the artifact, and no links",
            )
        if sha256_of(file) != digest:
            raise DataError(
                f"{file}: its content is not what the manifest states (sha256 differs)",
                hint="the file was changed, cut short or mixed with another export: export or copy it again",
            )
