"""Checkpoints: every published kind gives the same weights, and weights that do not fit are named."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from elir_edge.errors import DataError
from elir_edge.families.elir.spec import ResidualSpec
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.collapse import collapse
from elir_edge.families.weights import load_restorer
from tests.families.checkpoints import WRITERS, lightning, part, read_checkpoint
from tests.helpers import refusal


@pytest.fixture(scope="module")
def expanded_restorer(tiny_spec) -> Restorer:
    """A model in the form used for training: pairs of linear convolutions, not collapsed."""
    torch.manual_seed(0)
    return Restorer(tiny_spec, expanded=True).eval().requires_grad_(False)


def autoencoder_only(tensors: dict) -> dict:
    return {name: value for name, value in tensors.items() if name.startswith(("enc.", "dec."))}


def to_diffusers_names(tensors: dict) -> dict:
    return {f"{name[:3]}oder{name[3:]}": value for name, value in autoencoder_only(tensors).items()}


def to_original_names(tensors: dict) -> tuple[dict, dict]:
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


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("expanded", [False, True], ids=["collapsed", "uncollapsed"])
def test_every_kind_gives_the_same_tensors(name, expanded, tiny_tensors, expanded_restorer, tmp_path):
    tensors = expanded_restorer.state_dict() if expanded else tiny_tensors
    WRITERS[name](tensors, tmp_path / name)
    assert_same(read_checkpoint(tmp_path / name), tensors)


def test_autoencoder_in_diffusers_naming(tiny_tensors, tmp_path):
    renamed = to_diffusers_names(tiny_tensors)
    assert all(name.startswith(("encoder.layers.", "decoder.layers.")) for name in renamed)
    save_file(renamed, tmp_path / "taesd.safetensors")
    assert_same(read_checkpoint(tmp_path / "taesd.safetensors"), autoencoder_only(tiny_tensors))


def test_autoencoder_in_the_original_naming(tiny_tensors, tmp_path):
    encoder, decoder = to_original_names(tiny_tensors)
    assert "0.weight" in encoder and "0.weight" not in decoder and "1.weight" in decoder
    torch.save(encoder, tmp_path / "encoder.pth")
    torch.save(decoder, tmp_path / "decoder.pth")
    found = read_checkpoint(tmp_path / "encoder.pth") | read_checkpoint(tmp_path / "decoder.pth")
    assert_same(found, autoencoder_only(tiny_tensors))


def test_autoencoder_alone_is_a_model(tiny_spec, tiny_tensors, tmp_path):
    spec = dataclasses.replace(tiny_spec, steps=0, estimator=None, field=None)
    encoder, decoder = to_original_names(tiny_tensors)
    torch.save(encoder, tmp_path / "encoder.pth")
    torch.save(decoder, tmp_path / "decoder.pth")
    save_file(to_diffusers_names(tiny_tensors), tmp_path / "both.safetensors")
    two = load_restorer(spec, [tmp_path / "decoder.pth", tmp_path / "encoder.pth"])
    one = load_restorer(spec, tmp_path / "both.safetensors")
    image = torch.rand(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(two(image), one(image))
    assert torch.equal(one(image), one.dec(one.enc(image)).clamp(0, 1))
    twice = [tmp_path / "both.safetensors", tmp_path / "encoder.pth"]
    refusal(DataError, lambda: load_restorer(spec, twice), "encoder.pth", "enc.layers.0.weight")


def test_uncollapsed_weights_are_collapsed(tiny_spec, expanded_restorer, tmp_path):
    torch.save(lightning(expanded_restorer.state_dict()), tmp_path / "model.ckpt")
    loaded = load_restorer(tiny_spec, tmp_path / "model.ckpt")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not loaded.training
    assert sum(p.numel() for p in loaded.parameters()) < sum(p.numel() for p in expanded_restorer.parameters())
    assert torch.allclose(loaded(image), expanded_restorer(image), atol=1e-5)
    itself = Restorer(tiny_spec, expanded=True)
    itself.load_state_dict(expanded_restorer.state_dict())
    assert_same(loaded.state_dict(), collapse(itself).state_dict())


@pytest.mark.parametrize("first", [0x80, 0x50])
def test_safetensors_whose_length_begins_like_another_kind(first, tiny_tensors, tmp_path):
    """Their first byte is that of a length: one file in 32 begins like a pickle."""
    for count in range(256):
        save_file(tiny_tensors, tmp_path / "x.safetensors", metadata={"a": "b" * count})
        if (tmp_path / "x.safetensors").read_bytes()[0] == first:
            break
    assert (tmp_path / "x.safetensors").read_bytes()[0] == first
    assert_same(read_checkpoint(tmp_path / "x.safetensors"), tiny_tensors)


@pytest.mark.parametrize("write", [torch.save, lambda tensors, path: torch.save(lightning(tensors), path)])
def test_expanded_residual_networks_are_collapsed(write, tiny_spec, tmp_path):
    """What a training with ``expanded`` leaves, of the networks that the default model has."""
    residual = ResidualSpec(widths=(8,), blocks=(1,), time_features=16)
    spec = dataclasses.replace(tiny_spec, estimator=residual, field=residual)
    expanded = Restorer(spec, expanded=True)
    write(expanded.state_dict(), tmp_path / "model.ckpt")
    assert_same(load_restorer(spec, tmp_path / "model.ckpt").state_dict(), collapse(expanded).state_dict())


def test_half_precision_weights_are_widened(tiny_spec, tiny_tensors, tmp_path):
    torch.save({name: value.half() for name, value in tiny_tensors.items()}, tmp_path / "half.pth")
    loaded = load_restorer(tiny_spec, tmp_path / "half.pth")
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_what_wraps_a_whole_model_is_no_part_of_its_names(prefix, tiny_tensors, tmp_path):
    wrapped = {f"{prefix}{name}": value for name, value in tiny_tensors.items()}
    parts = lightning(tiny_tensors)
    parts["state_dict_enc"] = {f"{prefix}{name}": value for name, value in parts["state_dict_enc"].items()}
    for content in (wrapped, {"state_dict_ema": wrapped, "state_dict": {}}, parts):
        torch.save(content, tmp_path / "model.pth")
        assert_same(read_checkpoint(tmp_path / "model.pth"), tiny_tensors)


def test_only_what_all_names_begin_with_is_a_wrapper(tiny_spec, tiny_tensors):
    name = next(iter(tiny_tensors))
    mixed = {name: torch.zeros(1)} | {f"module.{name}": value for name, value in tiny_tensors.items()}
    refusal(DataError, lambda: load_restorer(tiny_spec, mixed), f"module.{name}")


@pytest.mark.parametrize("lacking", [{"estimator": None}, {"field": None, "steps": 0}], ids=["estimator", "field"])
def test_training_checkpoints_have_only_the_parts_of_their_model(lacking, tiny_spec, tiny_tensors, tmp_path):
    spec = dataclasses.replace(tiny_spec, **lacking)
    prefix = "mmse" if "estimator" in lacking else "fmir"
    content = lightning(tiny_tensors)
    del content[f"state_dict_{prefix}"]
    torch.save(content, tmp_path / "model.ckpt")
    own = {name: value for name, value in tiny_tensors.items() if not name.startswith(f"{prefix}.")}
    assert_same(load_restorer(spec, tmp_path / "model.ckpt").state_dict(), own)
    refusal(DataError, lambda: load_restorer(tiny_spec, tmp_path / "model.ckpt"), "missing", f"{prefix}.")


# ---- weights that do not fit ---------------------------------------------------------------------------------------


def test_everything_that_does_not_fit_is_named_at_once(tiny_spec, tiny_tensors, tmp_path):
    wrong = dict(tiny_tensors)
    del wrong["enc.layers.0.weight"], wrong["dec.layers.0.bias"]
    wrong["fmir.unknown"] = torch.zeros(1)
    wrong["mmse.other"] = torch.zeros(1)
    wrong["fmir.first_proj.weight"] = torch.zeros(3, 3)
    wrong["fmir.final_proj.bias"] = torch.full_like(wrong["fmir.final_proj.bias"], float("nan"))
    wrong["enc.layers.0.bias"] = torch.full_like(wrong["enc.layers.0.bias"], float("inf"))
    torch.save(wrong, tmp_path / "model.pth")
    error = refusal(DataError, lambda: load_restorer(tiny_spec, tmp_path / "model.pth"), "model.pth", "presets")
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
        f"    fmir.first_proj.weight (3, 3), expected {tuple(tiny_tensors['fmir.first_proj.weight'].shape)}",
        "  2 with NaN or Inf:",
        *(f"    {name}" for name in wrong if name in ("fmir.final_proj.bias", "enc.layers.0.bias")),
    ]


def test_numbers_of_one_byte_lack_their_scales(tiny_spec, tiny_tensors):
    name = "enc.layers.0.weight"
    for kind in (torch.float8_e4m3fn, torch.int8):
        given = tiny_tensors | {name: tiny_tensors[name].to(kind)}
        said = f"{name} {str(kind).removeprefix('torch.')}"
        refusal(DataError, lambda given=given: load_restorer(tiny_spec, given), "1 of whole numbers or one byte", said)


def test_a_stretched_tensor_costs_no_memory(tiny_spec, tmp_path):
    """Four bytes that call themselves a matrix of 10^12 numbers."""
    torch.save({"enc.layers.0.weight": torch.zeros(1).expand(1_000_000, 1_000_000)}, tmp_path / "model.pth")
    refusal(DataError, lambda: load_restorer(tiny_spec, tmp_path / "model.pth"), "(1000000, 1000000)", "expected")


def test_another_presets_weights(tiny_restorer, tmp_path):
    torch.save(tiny_restorer.state_dict(), tmp_path / "tiny.pth")
    error = refusal(DataError, lambda: load_restorer("nano", tmp_path / "tiny.pth"), "tiny.pth", "is this the preset")
    assert error.exit_code == 65


def test_weights_are_trained_unless_their_source_says_stand_ins(tiny_spec):
    model = Restorer(tiny_spec)
    assert model.source is None and model.trained
    assert not load_restorer(tiny_spec, "random:0").trained
