"""Checkpoints: every published kind gives the same weights, and every file that is none is refused by name."""

from __future__ import annotations

import dataclasses
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
from safetensors.torch import save_file

from elir_edge.errors import DataError, MissingInputError
from elir_edge.families import checkpoint
from elir_edge.families.elir.checkpoint_names import PREFIXES
from elir_edge.families.elir.family import FAMILY
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.collapse import collapse
from elir_edge.families.weights import load_restorer
from tests.helpers import refused

SPECIAL_ENTRIES = {"epoch": 3, "global_step": 7, "state_dict": {"model.x": torch.zeros(2)}, "lr_schedulers": []}


@pytest.fixture(scope="module")
def collapsed(tiny_restorer) -> dict:
    return {name: tensor.clone() for name, tensor in tiny_restorer.state_dict().items()}


@pytest.fixture(scope="module")
def trained(tiny_spec) -> Restorer:
    """A model with the pairs of linear convolutions of training still apart."""
    torch.manual_seed(0)
    return Restorer(tiny_spec, expanded=True).eval().requires_grad_(False)


def read_checkpoint(path) -> dict:
    return checkpoint.read_checkpoint(path, FAMILY)


def part(tensors: dict, prefix: str) -> dict:
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def lightning(tensors: dict, **more: object) -> dict:
    return {**SPECIAL_ENTRIES, **{f"state_dict_{prefix}": part(tensors, prefix) for prefix in PREFIXES}, **more}


def autoencoder_only(tensors: dict) -> dict:
    return {name: value for name, value in tensors.items() if name.startswith(("enc.", "dec."))}


def diffusers_named(tensors: dict) -> dict:
    return {f"{name[:3]}oder{name[3:]}": value for name, value in autoencoder_only(tensors).items()}


def original_named(tensors: dict) -> tuple[dict, dict]:
    """The original naming's two files: numbers only, the decoder's one higher."""
    decoder = {}
    for name, value in part(tensors, "dec").items():
        _, number, rest = name.split(".", 2)
        decoder[f"{int(number) + 1}.{rest}"] = value
    return {name.removeprefix("layers."): value for name, value in part(tensors, "enc").items()}, decoder


def assert_same(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


# ---- every kind is read --------------------------------------------------------------------------------------------

WRITERS = {
    "model.pth": lambda tensors, path: torch.save(tensors, path),
    "legacy.pth": lambda tensors, path: torch.save(tensors, path, _use_new_zipfile_serialization=False),
    "model.ckpt": lambda tensors, path: torch.save(lightning(tensors), path),
    "model.safetensors": lambda tensors, path: save_file(tensors, path),
    "safetensors inside.pth": lambda tensors, path: save_file(tensors, path),
    "pickle inside.safetensors": lambda tensors, path: torch.save(tensors, path),
    "lightning inside.bin": lambda tensors, path: torch.save(lightning(tensors), path),
    "no ending": lambda tensors, path: torch.save(tensors, path),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("expanded", [False, True], ids=["collapsed", "uncollapsed"])
def test_every_kind_gives_the_same_tensors(name, expanded, collapsed, trained, tmp_path):
    tensors = trained.state_dict() if expanded else collapsed
    WRITERS[name](tensors, tmp_path / name)
    assert_same(read_checkpoint(tmp_path / name), tensors)


def test_autoencoder_in_diffusers_naming(collapsed, tmp_path):
    renamed = diffusers_named(collapsed)
    assert all(name.startswith(("encoder.layers.", "decoder.layers.")) for name in renamed)
    save_file(renamed, tmp_path / "taesd.safetensors")
    assert_same(read_checkpoint(tmp_path / "taesd.safetensors"), autoencoder_only(collapsed))


def test_autoencoder_in_the_original_naming(collapsed, tmp_path):
    encoder, decoder = original_named(collapsed)
    assert "0.weight" in encoder and "0.weight" not in decoder and "1.weight" in decoder
    torch.save(encoder, tmp_path / "encoder.pth")
    torch.save(decoder, tmp_path / "decoder.pth")
    found = read_checkpoint(tmp_path / "encoder.pth") | read_checkpoint(tmp_path / "decoder.pth")
    assert_same(found, autoencoder_only(collapsed))


def test_autoencoder_alone_is_a_model(tiny_spec, collapsed, tmp_path):
    spec = dataclasses.replace(tiny_spec, steps=0, estimator=None, field=None)
    encoder, decoder = original_named(collapsed)
    torch.save(encoder, tmp_path / "encoder.pth")
    torch.save(decoder, tmp_path / "decoder.pth")
    save_file(diffusers_named(collapsed), tmp_path / "both.safetensors")
    two = load_restorer(spec, [tmp_path / "decoder.pth", tmp_path / "encoder.pth"])
    one = load_restorer(spec, tmp_path / "both.safetensors")
    image = torch.rand(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(two(image), one(image))
    assert torch.equal(one(image), one.dec(one.enc(image)).clamp(0, 1))
    twice = [tmp_path / "both.safetensors", tmp_path / "encoder.pth"]
    refused(DataError, lambda: load_restorer(spec, twice), "encoder.pth", "enc.layers.0.weight")


def test_uncollapsed_weights_are_collapsed(tiny_spec, trained, tmp_path):
    torch.save(lightning(trained.state_dict()), tmp_path / "model.ckpt")
    loaded = load_restorer(tiny_spec, tmp_path / "model.ckpt")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not loaded.training
    assert sum(p.numel() for p in loaded.parameters()) < sum(p.numel() for p in trained.parameters())
    assert torch.allclose(loaded(image), trained(image), atol=1e-5)
    itself = Restorer(tiny_spec, expanded=True)
    itself.load_state_dict(trained.state_dict())
    assert_same(loaded.state_dict(), collapse(itself).state_dict())


def test_half_precision_weights_are_widened(tiny_spec, collapsed, tmp_path):
    torch.save({name: value.half() for name, value in collapsed.items()}, tmp_path / "half.pth")
    loaded = load_restorer(tiny_spec, tmp_path / "half.pth")
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


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
def test_no_code_is_run(kind, collapsed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    HOSTILE[kind](collapsed, tmp_path / "model.ckpt")
    error = refused(
        DataError, lambda: read_checkpoint(tmp_path / "model.ckpt"), "model.ckpt", "asks to run code", "system"
    )
    assert "weights_only" not in str(error)
    assert not (tmp_path / "canary").exists()


def test_a_newer_pickle_runs_no_code_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain_pickle(Evil(), tmp_path / "model.ckpt", protocol=4)
    error = refused(DataError, lambda: read_checkpoint(tmp_path / "model.ckpt"), "model.ckpt", "only plain tensors")
    assert "weights_only" not in str(error)
    assert not (tmp_path / "canary").exists()


def test_the_canary_is_one(tmp_path, monkeypatch):
    """The file above would run, were it opened without care."""
    monkeypatch.chdir(tmp_path)
    plain_pickle(Evil(), tmp_path / "model.ckpt")
    pickle.loads((tmp_path / "model.ckpt").read_bytes())
    assert (tmp_path / "canary").exists()


def test_lightning_with_a_class_of_its_own_is_refused(collapsed, tmp_path):
    torch.save(lightning(collapsed, hyper_parameters=Extra()), tmp_path / "model.ckpt")
    refused(DataError, lambda: read_checkpoint(tmp_path / "model.ckpt"), "model.ckpt", "Extra", "state_dict()")


# ---- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.pth", "legacy.pth", "model.ckpt", "model.safetensors"])
@pytest.mark.parametrize("percent", [1, 50, 99])
def test_cut_short(name, percent, collapsed, tmp_path):
    path = tmp_path / name
    WRITERS[name](collapsed, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * percent // 100])
    refused(DataError, lambda: read_checkpoint(path), name)


@pytest.mark.parametrize("name", ["model.pth", "legacy.pth", "model.ckpt", "model.safetensors"])
def test_changed_bytes_are_refused_or_harmless(name, collapsed, tmp_path):
    """Nothing but the project's own error comes out of a damaged file."""
    path = tmp_path / name
    WRITERS[name](collapsed, path)
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
    assert refused(MissingInputError, lambda: read_checkpoint(tmp_path / "no.pth"), "no.pth").exit_code == 66
    refused(MissingInputError, lambda: read_checkpoint(tmp_path), str(tmp_path))


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


def stretched(path: Path) -> None:
    """Four bytes that call themselves a matrix of 10^12 numbers."""
    torch.save({"enc.layers.0.weight": torch.zeros(1).expand(1_000_000, 1_000_000)}, path)


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
    error = refused(DataError, lambda: read_checkpoint(tmp_path / "model.ckpt"), "model.ckpt", *named)
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
    refused(DataError, lambda: read_checkpoint(path), "model.safetensors", "safetensors")


def test_100_000_entries_take_less_than_five_seconds(tiny_spec, tmp_path):
    count = 100_000
    header = json.dumps({f"t{i}": entry(4 * i, 4 * i + 4) for i in range(count)})
    path = tmp_path / "many.safetensors"
    path.write_bytes(safetensors_file(header, bytes(4 * count)))
    began = time.perf_counter()
    error = refused(DataError, lambda: load_restorer(tiny_spec, path), "many.safetensors", "100000 tensors")
    assert time.perf_counter() - began < 5
    assert error.exit_code == 65


def test_long_lists_of_names_end(tiny_spec, tmp_path):
    torch.save({f"t{i}": torch.zeros(1) for i in range(5_000)}, tmp_path / "many.pth")
    error = refused(
        DataError, lambda: load_restorer(tiny_spec, tmp_path / "many.pth"), "5000 not part", "and 4000 more"
    )
    assert "t999\n" in str(error) and "t1000\n" not in str(error)


# ---- weights that do not fit ---------------------------------------------------------------------------------------


def test_everything_that_does_not_fit_is_named_at_once(tiny_spec, collapsed, tmp_path):
    wrong = dict(collapsed)
    del wrong["enc.layers.0.weight"], wrong["dec.layers.0.bias"]
    wrong["fmir.unknown"] = torch.zeros(1)
    wrong["mmse.other"] = torch.zeros(1)
    wrong["fmir.first_proj.weight"] = torch.zeros(3, 3)
    wrong["fmir.final_proj.bias"] = torch.full_like(wrong["fmir.final_proj.bias"], float("nan"))
    wrong["enc.layers.0.bias"] = torch.full_like(wrong["enc.layers.0.bias"], float("inf"))
    torch.save(wrong, tmp_path / "model.pth")
    error = refused(DataError, lambda: load_restorer(tiny_spec, tmp_path / "model.pth"), "model.pth", "presets")
    lines = str(error).splitlines()
    assert lines == [
        "model.pth: the weights do not fit the model",
        "  2 missing:",
        "    enc.layers.0.weight",
        "    dec.layers.0.bias",
        "  2 not part of the model:",
        "    fmir.unknown",
        "    mmse.other",
        "  1 of the wrong shape:",
        f"    fmir.first_proj.weight (3, 3), expected {tuple(collapsed['fmir.first_proj.weight'].shape)}",
        "  2 with NaN or Inf:",
        *(f"    {name}" for name in wrong if name in ("fmir.final_proj.bias", "enc.layers.0.bias")),
    ]


def test_a_stretched_tensor_costs_no_memory(tiny_spec, tmp_path):
    stretched(tmp_path / "model.pth")
    refused(DataError, lambda: load_restorer(tiny_spec, tmp_path / "model.pth"), "(1000000, 1000000)", "expected")


def test_another_presets_weights(tiny_restorer, tmp_path):
    torch.save(tiny_restorer.state_dict(), tmp_path / "tiny.pth")
    error = refused(DataError, lambda: load_restorer("nano", tmp_path / "tiny.pth"), "tiny.pth", "is this the preset")
    assert error.exit_code == 65
