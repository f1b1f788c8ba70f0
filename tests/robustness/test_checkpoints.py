"""Checkpoints: damaged, of another kind, hostile. Each is refused by name, and no code in any of them is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from elir_edge.families.weights import load_restorer
from tests.robustness.faults import CANARY, TINY, Fault, assert_refused

EXPORT = ("export", "-p", "tiny.yaml", "-o", "old.onnx", "--force", "-w")
NAME = "enc.first_conv.weight"


class Evil:
    """Runs a command where it is unpickled without care."""

    def __reduce__(self):
        return os.system, (f"touch {CANARY}",)


class Stranger:
    """Harmless, and yet a class that no checkpoint may name."""


@cache
def tensors() -> dict[str, torch.Tensor]:
    """The tiny model's own."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tiny.yaml").write_text(TINY)
        return dict(load_restorer(Path(folder) / "tiny.yaml").state_dict())


def names() -> list[str]:
    return list(tensors())


def save(content, folder: Path, name: str = "bad.pth") -> None:
    torch.save(content, folder / name)


def alter(folder: Path, change) -> None:
    """A checkpoint after ``change`` of its dict."""
    content = dict(tensors())
    change(content)
    save(content, folder)


def cut(name: str, percent: int, folder: Path) -> None:
    (save_file if name.endswith("safetensors") else torch.save)(tensors(), folder / name)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) * percent // 100])


def poison(value: float, folder: Path) -> None:
    def change(content) -> None:
        content[names()[0]] = content[names()[0]].clone()
        content[names()[0]].view(-1)[3] = value

    alter(folder, change)


def torchscript(folder: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(folder / "bad.pth"))


def legacy_tar(folder: Path) -> None:
    with tarfile.open(folder / "bad.pth", "w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"\x80\x02N."))


def zip_bomb(folder: Path) -> None:
    save({"a": torch.zeros(4)}, folder)
    with zipfile.ZipFile(folder / "bad.pth", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data/1", bytes(50_000_000))


def zip_of_version(folder: Path) -> None:
    """A zip whose entries ask for version 12.7 of the format."""
    save({"a": torch.zeros(4)}, folder)
    data = bytearray((folder / "bad.pth").read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 6] = 127
    (folder / "bad.pth").write_bytes(data)


def safetensors(header: str, data: bytes, length: int | None, folder: Path) -> None:
    head = struct.pack("<Q", len(header) if length is None else length)
    (folder / "bad.safetensors").write_bytes(head + header.encode() + data)


def entry(begin: int, end: int) -> dict:
    return {"dtype": "F32", "shape": [1], "data_offsets": [begin, end]}


def header(**entries: dict) -> str:
    return json.dumps(entries)


def many(folder: Path) -> None:
    entries = {f"t{i}": entry(4 * i, 4 * i + 4) for i in range(100_000)}
    safetensors(header(**entries), bytes(400_000), None, folder)


TWICE = f'{{"a": {json.dumps(entry(0, 4))}, "a": {json.dumps(entry(0, 4))}}}'
PTH, SAFE = "bad.pth", "bad.safetensors"
LINES = {
    "a pickle that runs code": (lambda f: save({**tensors(), "x": Evil()}, f), PTH, "asks to run code", "system"),
    "a bare pickle that runs code": (lambda f: (f / PTH).write_bytes(pickle.dumps(Evil(), 2)), PTH, "to run code"),
    "a class that is not allowed": (lambda f: save({"x": Stranger()}, f), PTH, "Stranger", "state_dict()"),
    **{f"cut at {p} %": (partial(cut, PTH, p), PTH, "damaged", "copy or download it again") for p in (1, 50, 99)},
    **{f"safetensors cut at {p} %": (partial(cut, SAFE, p), SAFE, "-> ") for p in (1, 50, 99)},
    "an empty file": (lambda f: (f / PTH).write_bytes(b""), PTH, "the file is empty"),
    "text": (lambda f: (f / PTH).write_text("<html>404</html>"), PTH, "neither a PyTorch nor a safetensors file"),
    "a header of 2^63 bytes": (partial(safetensors, header(a=entry(0, 4)), bytes(4), 2**63), SAFE, "damaged"),
    "offsets that overlap": (
        partial(safetensors, header(a=entry(0, 4), b=entry(2, 6)), bytes(6), None), SAFE, "damaged"
    ),
    "offsets with a gap": (
        partial(safetensors, header(a=entry(0, 4), b=entry(8, 12)), bytes(12), None), SAFE, "damaged"
    ),
    "a key given twice": (partial(safetensors, TWICE, bytes(4), None), SAFE, "given twice: a"),
    "100,000 entries": (many, SAFE, "100000 tensors", "more than any model has"),
    "a missing tensor": (
        lambda f: alter(f, lambda c: c.pop(names()[0])), PTH, "1 missing", names()[0], "elir-edge presets"
    ),
    "an extra tensor": (
        lambda f: alter(f, lambda c: c.update({"enc.more": torch.zeros(1)})), PTH, "1 not part of", "enc.more"
    ),
    "a wrong shape": (
        lambda f: alter(f, lambda c: c.update({names()[0]: torch.zeros(3)})), PTH, names()[0], "(3,), expected ("
    ),
    "NaN": (partial(poison, float("nan")), PTH, "1 with NaN or Inf", names()[0]),
    "Inf": (partial(poison, float("inf")), PTH, "1 with NaN or Inf", names()[0]),
    "integers": (
        lambda f: alter(f, lambda c: c.update({names()[0]: c[names()[0]].mul(100).to(torch.int8)})),
        PTH, "1 of whole numbers", f"{names()[0]} int8",
    ),
    "TorchScript": (torchscript, PTH, "a TorchScript program", "model.state_dict()"),
    "a legacy tar": (legacy_tar, PTH, "a legacy tar checkpoint", "save it again"),
    "a zip bomb": (zip_bomb, PTH, "unpacks to more than 4 times its size"),
    "a zip of version 12.7": (zip_of_version, PTH, "damaged or cut short", "12.7"),
}  # fmt: skip


SLOWEST = "100,000 entries"


@pytest.mark.parametrize("line", [pytest.param(name, marks=[pytest.mark.slow] * (name == SLOWEST)) for name in LINES])
def test_refused(line, place, run):
    prepare, name, *said = LINES[line]
    tensors()
    began = sum(os.times()[:4])  # of this process and its children: the clock is that of a busy machine
    assert_refused(Fault(65, (*EXPORT, name), (name, *said), prepare), place, run)
    assert sum(os.times()[:4]) - began < 30


def test_a_checkpoint_that_is_not_there(place, run):
    assert_refused(Fault(66, (*EXPORT, "no.pth"), ("no.pth", "no such checkpoint")), place, run)


@pytest.mark.parametrize("writer, name", [(torch.save, "a.safetensors"), (save_file, "a.pth")])
def test_the_content_decides_and_not_the_ending(writer, name, tmp_path):
    writer(tensors(), tmp_path / name)
    (tmp_path / "tiny.yaml").write_text(TINY)
    loaded = load_restorer(tmp_path / "tiny.yaml", tmp_path / name).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in tensors().items())
