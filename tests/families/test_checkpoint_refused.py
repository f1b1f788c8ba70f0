"""Files that are no checkpoint, or a damaged or hostile one, are refused by name, and no code in them is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
import torch

from elir_edge.errors import DataError, MissingInputError
from elir_edge.families.elir.checkpoint_names import PREFIXES
from elir_edge.families.weights import load_restorer
from tests.families.checkpoints import SPECIAL_ENTRIES, WRITERS, lightning, read_checkpoint
from tests.helpers import refusal

# ---- files that run code -------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return os.system, ("touch canary",)


class Extra:
    """Harmless, and yet not a class that a checkpoint may name."""


def plain_pickle(content: object, path: Path, protocol: int = 2) -> None:
    path.write_bytes(pickle.dumps(content, protocol))


HOSTILE = {
    "a zip that runs code": lambda tensors, path: torch.save({**tensors, "x": Evil()}, path),
    "a legacy file that runs code": lambda tensors, path: torch.save(
        Evil(), path, _use_new_zipfile_serialization=False
    ),
    "a pickle that runs code": lambda tensors, path: plain_pickle(Evil(), path),
    "Lightning that runs code": lambda tensors, path: torch.save(lightning(tensors, callbacks=Evil()), path),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_code_is_run(kind, tiny_tensors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    HOSTILE[kind](tiny_tensors, tmp_path / "model.ckpt")
    error = refusal(
        DataError, lambda: read_checkpoint(tmp_path / "model.ckpt"), "model.ckpt", "asks to run code", "system"
    )
    assert "weights_only" not in str(error)
    assert not (tmp_path / "canary").exists()


def test_a_newer_pickle_runs_no_code_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain_pickle(Evil(), tmp_path / "model.ckpt", protocol=4)
    error = refusal(DataError, lambda: read_checkpoint(tmp_path / "model.ckpt"), "model.ckpt", "only plain tensors")
    assert "weights_only" not in str(error)
    assert not (tmp_path / "canary").exists()


def test_the_canary_is_one(tmp_path, monkeypatch):
    """The file above would run, were it opened without care."""
    monkeypatch.chdir(tmp_path)
    plain_pickle(Evil(), tmp_path / "model.ckpt")
    pickle.loads((tmp_path / "model.ckpt").read_bytes())
    assert (tmp_path / "canary").exists()


def test_lightning_with_a_class_of_its_own_is_refused(tiny_tensors, tmp_path):
    torch.save(lightning(tiny_tensors, hyper_parameters=Extra()), tmp_path / "model.ckpt")
    refusal(DataError, lambda: read_checkpoint(tmp_path / "model.ckpt"), "model.ckpt", "Extra", "state_dict()")


# ---- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.pth", "legacy.pth", "model.ckpt", "model.safetensors"])
@pytest.mark.parametrize("percent", [1, 50, 99])
def test_cut_short(name, percent, tiny_tensors, tmp_path):
    path = tmp_path / name
    WRITERS[name](tiny_tensors, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * percent // 100])
    refusal(DataError, lambda: read_checkpoint(path), name)


@pytest.mark.parametrize("name", ["model.pth", "legacy.pth", "model.ckpt", "model.safetensors"])
def test_changed_bytes_are_refused_or_harmless(name, tiny_tensors, tmp_path):
    """Nothing but the project's own error comes out of a damaged file."""
    path = tmp_path / name
    WRITERS[name](tiny_tensors, path)
    whole = path.read_bytes()
    positions = torch.randint(min(len(whole), 8000), (40,), generator=torch.Generator().manual_seed(0)).tolist()
    for position in [*positions, *(len(whole) - 1 - position for position in positions[:20])]:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except DataError as error:
            assert name in str(error)


def test_not_there(tmp_path):
    assert refusal(MissingInputError, lambda: read_checkpoint(tmp_path / "no.pth"), "no.pth").exit_code == 66
    refusal(MissingInputError, lambda: read_checkpoint(tmp_path), str(tmp_path))


def tar_checkpoint(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"\x80\x02N."))


def torchscript(path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))


def zip_bomb(path: Path) -> None:
    torch.save({"a": torch.zeros(4)}, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data/1", bytes(50_000_000))


OTHERS = {
    "an empty file": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("<html>404 Not Found</html>"), "neither a PyTorch nor a safetensors file"),
    "a legacy tar": (tar_checkpoint, "a legacy tar checkpoint", "save it again"),
    "TorchScript": (torchscript, "a TorchScript program", "model.state_dict()"),
    "a zip bomb": (zip_bomb, "unpacks to more than 4 times its size"),
    "another zip": (lambda path: zipfile.ZipFile(path, "w").writestr("a.txt", "a"), "model.ckpt"),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "holds a Tensor, not a dict"),
    "no tensors": (lambda path: torch.save({}, path), "holds no tensors"),
    "numbers": (lambda path: torch.save({"a": 1, "b": [2]}, path), "not a plain dict of tensors: a, b"),
    "Lightning without EMA": (lambda path: torch.save(SPECIAL_ENTRIES, path), "not a plain dict of tensors", "epoch"),
    "several models": (
        lambda path: torch.save({"model": {"a": torch.zeros(1)}, "epoch": 1}, path),
        "tensors: model, epoch", "torch.save(checkpoint['model'], FILE)",
    ),
    "Lightning with three of four": (
        lambda path: torch.save({f"state_dict_{prefix}": {} for prefix in PREFIXES[:3]}, path),
        "without state_dict_dec",
    ),
    "sparse tensors": (lambda path: torch.save({"a": torch.eye(3).to_sparse()}, path), "dict of tensors: a"),
    "other numbered layers": (lambda path: torch.save({"5.weight": torch.zeros(1)}, path), "numbered layers"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_no_checkpoint(case, tmp_path):
    write, *named = OTHERS[case]
    write(tmp_path / "model.ckpt")
    error = refusal(DataError, lambda: read_checkpoint(tmp_path / "model.ckpt"), "model.ckpt", *named)
    assert error.exit_code == 65


# ---- safetensors ---------------------------------------------------------------------------------------------------


def safetensors_file(header: str | bytes, data: bytes, length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: int, end: int, shape: tuple[int, ...] = (1,), dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def of(**entries: dict) -> str:
    return json.dumps(entries)


TWICE = f'{{"a": {json.dumps(entry(0, 4))}, "a": {json.dumps(entry(0, 4))}}}'

BAD_SAFETENSORS = {
    "header length 2^63": safetensors_file(of(a=entry(0, 4)), bytes(4), 2**63),
    "header length 2^64 - 1": safetensors_file(of(a=entry(0, 4)), bytes(4), 2**64 - 1),
    "header longer than the file": safetensors_file(of(a=entry(0, 4)), bytes(4), 10_000),
    "overlapping offsets": safetensors_file(of(a=entry(0, 4), b=entry(2, 6)), bytes(6)),
    "a gap between offsets": safetensors_file(of(a=entry(0, 4), b=entry(8, 12)), bytes(12)),
    "offsets beyond the end": safetensors_file(of(a=entry(0, 4), b=entry(4, 8)), bytes(4)),
    "offsets that run backwards": safetensors_file(of(a=entry(4, 0)), bytes(4)),
    "bytes that belong to nothing": safetensors_file(of(a=entry(0, 4)), bytes(40)),
    "a shape that does not fit": safetensors_file(of(a=entry(0, 4, (2,))), bytes(4)),
    "a shape beyond 64 bits": safetensors_file(of(a=entry(0, 4, (2**33, 2**33))), bytes(4)),
    "an unknown type": safetensors_file(of(a=entry(0, 4, dtype="F33")), bytes(4)),
    "a key given twice": safetensors_file(TWICE, bytes(4)),
    "a header that is no JSON": safetensors_file("{nothing", bytes(4)),
    "a header that is no text": safetensors_file(b'{"\xff\xfe": 1}', bytes(4)),
}


@pytest.mark.parametrize("case", BAD_SAFETENSORS)
def test_bad_safetensors(case, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(BAD_SAFETENSORS[case])
    refusal(DataError, lambda: read_checkpoint(path), "model.safetensors", "safetensors")


@pytest.mark.slow
def test_100_000_entries_take_less_than_five_seconds(tiny_spec, tmp_path):
    count = 100_000
    header = json.dumps({f"t{i}": entry(4 * i, 4 * i + 4) for i in range(count)})
    path = tmp_path / "many.safetensors"
    path.write_bytes(safetensors_file(header, bytes(4 * count)))
    began = time.process_time()
    error = refusal(DataError, lambda: load_restorer(tiny_spec, path), "many.safetensors", "100000 tensors")
    assert time.process_time() - began < 5
    assert error.exit_code == 65


def test_long_lists_of_names_end(tiny_spec, tmp_path):
    torch.save({f"t{i}": torch.zeros(1) for i in range(5_000)}, tmp_path / "many.pth")
    error = refusal(
        DataError, lambda: load_restorer(tiny_spec, tmp_path / "many.pth"), "5000 not part", "and 4000 more"
    )
    assert "t999\n" in str(error) and "t1000\n" not in str(error)
