"""Reading checkpoint files and copying tensors into a model. The content decides the kind of file, not the suffix."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from elir_edge.errors import MORE_MEMORY, DataError, MissingInputError, ResourceError, is_memory_error, missing_package
from elir_edge.families.base import Family
from elir_edge.families.tensor_names import Tensors, under_model_names

MAX_EXPANSION = 4
MAX_TENSORS = 20_000
MAX_LISTED = 1_000
MAX_HEADER_BYTES = 100 << 20
AGAIN = "copy or download it again; save model.state_dict() with torch.save"
PICKLE_START = b"\x80"
ZIP_START = b"PK\x03\x04"
TAR_MAGIC = (257, b"ustar")
SAFETENSORS_HEADER = 8
COUNTER = "num_batches_tracked"  # a buffer of batch norms


def read_checkpoint(files: Path | Sequence[Path], family: Family) -> Tensors:
    """Tensors of a PyTorch or safetensors file, or of all shards of one, under the names of the family's models.

    No code in the files is run. Raises MissingInputError where there is no such file, DataError where one is not a
    checkpoint, and where shards repeat tensors.
    """
    paths = [files] if isinstance(files, Path) else files
    content: dict[str, Any] = {}
    for path in paths:
        part = read_content(path)
        refuse_repeats(path, part, content)
        content |= part
    return under_model_names(content, family, str(paths[0]))


def refuse_repeats(path: Path, part: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise DataError, which names ``path``, where it repeats names that are ``known``."""
    twice = sorted(map(str, set(part) & set(known)))
    if twice:
        raise DataError(
            f"{path}: repeats tensors of another file: {', '.join(twice[:5])}",
            hint="give each part of the model once",
        )


def load_into(module: nn.Module, tensors: Tensors, where: str) -> None:
    """Copy ``tensors`` into ``module``, as the type of its own: float32, and whole numbers where it counts.

    What a batch norm counts in training may be missing: nothing reads it afterwards, and old checkpoints lack it.
    Raises one DataError that lists all tensors that are missing, unknown, of the wrong shape, of whole numbers or
    one byte (a quantized checkpoint lacks its scales) or not finite.
    """
    own = module.state_dict()
    expected = {name: tensor.shape for name, tensor in own.items()}
    problems = [
        _listing("missing", [name for name in expected if name not in tensors and not name.endswith(COUNTER)]),
        _listing("not part of the model", [name for name in tensors if name not in expected]),
        _listing("of the wrong shape", _misshapen(expected, tensors)),
        _listing("of whole numbers or one byte, where weights are real ones", _without_scale(own, tensors)),
        _listing("with NaN or Inf", _not_finite(expected, tensors)),
    ]
    found = [problem for problem in problems if problem]
    if found:
        raise DataError(
            f"{where}: the weights do not fit the model\n" + "\n".join(found),
            hint="is this the preset the checkpoint was made for? (elir-edge presets)",
        )
    module.load_state_dict(own | {name: tensor.to(own[name].dtype) for name, tensor in tensors.items()})


def _misshapen(expected: Mapping[str, torch.Size], tensors: Tensors) -> list[str]:
    return [
        f"{name} {tuple(tensors[name].shape)}, expected {tuple(shape)}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]


def _without_scale(own: Tensors, tensors: Tensors) -> list[str]:
    return [
        f"{name} {str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in tensors.items()
        if name in own
        and own[name].is_floating_point()
        and not (tensor.is_floating_point() and tensor.element_size() > 1)
    ]


def _listing(what: str, names: list[str]) -> str:
    if not names:
        return ""
    listed = names[:MAX_LISTED] + [f"and {len(names) - MAX_LISTED} more"] * (len(names) > MAX_LISTED)
    return f"  {len(names)} {what}:\n    " + "\n    ".join(listed)


def _not_finite(expected: Mapping[str, torch.Size], tensors: Tensors) -> list[str]:
    """Only tensors of the right shape are read: a few bytes in a file can declare a tensor of any size."""
    return [
        name
        for name, tensor in tensors.items()
        if tensor.shape == expected.get(name) and not torch.isfinite(tensor.float()).all()
    ]


def read_content(path: Path) -> Mapping[str, Any]:
    """What a PyTorch or safetensors file holds, by its own names. Raises as ``read_checkpoint``."""
    if not path.is_file():
        raise MissingInputError(f"{path}: no such checkpoint file", hint="check the name")
    with path.open("rb") as file:
        start = file.read(TAR_MAGIC[0] + 8)
    if not start:
        raise DataError(f"{path}: the file is empty", hint=AGAIN)
    if start.startswith(ZIP_START):
        _check_zip(path)
        return _load_pickled(path)
    if start[TAR_MAGIC[0] :].startswith(TAR_MAGIC[1]):
        raise DataError(f"{path}: a legacy tar checkpoint", hint="load it with an old PyTorch and save it again")
    # Before pickle: the first byte of a safetensors file belongs to a length, which may be pickle's.
    if start[SAFETENSORS_HEADER : SAFETENSORS_HEADER + 1] == b"{":
        return _load_safetensors(path)
    if start.startswith(PICKLE_START):
        return _load_pickled(path)
    raise DataError(
        f"{path}: neither a PyTorch nor a safetensors file", hint="give a .pth, .ckpt or .safetensors checkpoint"
    )


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise DataError(f"{path}: damaged or cut short ({error})", hint=AGAIN) from error
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") for name in names) or any("/code/" in name for name in names):
        raise DataError(
            f"{path}: a TorchScript program, not a checkpoint", hint="save model.state_dict() with torch.save instead"
        )
    if sum(entry.file_size for entry in entries) > MAX_EXPANSION * path.stat().st_size:
        raise DataError(
            f"{path}: unpacks to more than {MAX_EXPANSION} times its size, as no checkpoint does",
            hint="do not use it: it is made to fill the memory",
        )


def _load_pickled(path: Path) -> Mapping[str, Any]:
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            path.open("rb") as file,
        ):  # given a path, torch.load looks at the suffix
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
        if reason:
            raise DataError(
                f"{path}: refused, because it asks to run code ({reason.group(1)})",
                hint="only plain tensors are read; save model.state_dict() with torch.save",
            ) from error
        # torch's own message advises to load it with weights_only=False
        raise DataError(
            f"{path}: damaged, or not a checkpoint",
            hint="only plain tensors are read; save model.state_dict() with torch.save",
        ) from error
    except Exception as error:  # a damaged file makes torch.load raise nearly anything
        if is_memory_error(error):
            raise ResourceError(f"{path}: not enough memory to read it", hint=MORE_MEMORY) from error
        raise DataError(f"{path}: damaged or cut short ({_first_line(error)})", hint=AGAIN) from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: holds a {type(content).__name__}, not a dict of tensors", hint=AGAIN)
    return content


def _load_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise missing_package("safetensors", "torch") from error
    _check_keys(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if len(names) > MAX_TENSORS:
                raise DataError(f"{path}: {len(names)} tensors, more than any model has", hint=AGAIN)
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        if is_memory_error(error):
            raise ResourceError(f"{path}: not enough memory to read it", hint=MORE_MEMORY) from error
        raise DataError(f"{path}: damaged safetensors file ({_first_line(error)})", hint=AGAIN) from error


def _check_keys(path: Path) -> None:
    """Raise DataError for a name given twice: the library would take the last one."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(SAFETENSORS_HEADER), "little")
        header = file.read(min(length, MAX_HEADER_BYTES))
    try:
        json.loads(header, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged safetensors file ({_first_line(error)})", hint=AGAIN) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError("given twice: " + ", ".join([name for name, count in counts.items() if count > 1][:8]))
    return content


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
