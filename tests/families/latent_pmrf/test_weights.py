"""Weights of Latent-PMRF from folders as the hub lays them out, and estimators of the user's own."""

import dataclasses
import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from elir_edge import load_restorer
from elir_edge.errors import ConfigError, DataError, UnavailableError, UsageError
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, ModuleSpec, SimVaeSpec
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import ModelSpec, load_spec
from elir_edge.lowering.lower import lower
from elir_edge.quantize.mixed import groups_of
from tests.helpers import refusal

AUTOENCODER = SimVaeSpec(4, widths=(8, 12), encoder_blocks=1, decoder_blocks=1, mid_blocks=1)
SPEC = LatentPmrfSpec(name="vae", size=32, steps=0, estimator=None, field=None, autoencoder=AUTOENCODER)
CONFIG = {"_class_name": "SimVAE", "latent_channels": 4, "block_out_channels": [8, 12], "scaling_factor": 0.5}


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1)

    def forward(self, image):
        return self.mix(image)


class Residual(nn.Sequential):
    def forward(self, image):
        return image + super().forward(image)


class Unusual(nn.Module):
    """With a container that adds its input, padding by reflection, a batch norm, and a scale without axes."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Tanh(), nn.Conv2d(3, 3, 3, padding=1))  # called as a linear block's would be
        self.body = Residual(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1))
        self.edge = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), nn.Conv2d(3, 3, 1))
        self.norm = nn.BatchNorm2d(3)
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, image):
        return self.scale * self.norm(self.edge(self.body(self.conv1(image))))


@pytest.fixture
def folder(tmp_path):
    """A folder as ``save_pretrained`` writes it."""
    place = tmp_path / "sim-vae"
    place.mkdir()
    save_file(load_restorer(SPEC, "random:4").state_dict(), place / "diffusion_pytorch_model.safetensors")
    (place / "config.json").write_text(json.dumps(CONFIG))
    return place


def test_a_folder_states_the_scale_of_its_latent(folder):
    restorer = load_restorer(SPEC, folder)
    assert restorer.spec.autoencoder == dataclasses.replace(AUTOENCODER, scale=0.5)
    assert (restorer.source.name, restorer.source.kind) == ("sim-vae", "folder")
    image = torch.rand(1, 3, 32, 32)
    file = folder / "diffusion_pytorch_model.safetensors"
    assert load_restorer(SPEC, file).spec == restorer.spec
    plain = load_restorer(SPEC, file.rename(folder.parent / "without_config.safetensors"))
    assert plain.spec == SPEC
    assert torch.allclose(restorer.trajectory(image).encoded, plain.trajectory(image).encoded * 0.5, atol=1e-6)
    assert torch.allclose(restorer(image), plain(image), atol=1e-5)


def shards(folder):
    """The folder's one file of tensors, written as two; returns all tensors."""
    whole = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    for i, part in enumerate((list(tensors)[:9], list(tensors)[9:]), 1):
        save_file({name: tensors[name] for name in part}, folder / f"{whole.stem}-0000{i}-of-00002.safetensors")
    return tensors


def test_a_folder_of_shards_is_one_file(folder):
    one = load_restorer(SPEC, folder)
    assert_equal(shards(folder), one.state_dict())
    restorer = load_restorer(SPEC, folder)
    assert restorer.spec == one.spec != SPEC
    assert_equal(restorer.state_dict(), one.state_dict())
    files = sorted(folder.glob("*.safetensors"))
    assert load_restorer(SPEC, files).spec == one.spec
    save_file({"encoder.conv_in.bias": torch.zeros(8)}, files[0])
    save_file({"encoder.conv_in.bias": torch.zeros(8)}, files[1])
    refusal(DataError, lambda: load_restorer(SPEC, folder), files[1].name, "repeats", "encoder.conv_in.bias")
    files[0].unlink()
    refusal(DataError, lambda: load_restorer(SPEC, folder), "1 of 2 shards", files[1].name, "again")


def test_the_config_of_another_part_is_not_the_autoencoders(folder, tmp_path):
    """A folder of an estimator has a ``config.json``, too, and its scale is that of something else."""
    spec = dataclasses.replace(SPEC, estimator=ModuleSpec(path=f"{__name__}:Mean", stride=4))
    other = tmp_path / "estimator"
    other.mkdir()
    names = load_restorer(spec, "random:1").state_dict()
    save_file({name: names[name] for name in names if name.startswith("estimator.")}, other / "model.safetensors")
    (other / "config.json").write_text(json.dumps({"scaling_factor": 1.0, "latent_channels": 99}))
    for given in ([folder, other], [other, folder]):
        assert load_restorer(spec, given).spec.autoencoder == dataclasses.replace(AUTOENCODER, scale=0.5)


@pytest.mark.parametrize("stated, allowed", [({"scaling_factor": 1.0}, False), ({"shift_factor": 0.25}, True)])
def test_two_configs_of_one_autoencoder_have_to_agree(folder, tmp_path, stated, allowed):
    decoder = tmp_path / "decoder"
    decoder.mkdir()
    file = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    for place, part in ((file, "encoder."), (decoder / "decoder.safetensors", "decoder.")):
        save_file({name: value for name, value in tensors.items() if name.startswith(part)}, place)
    (decoder / "config.json").write_text(json.dumps(stated))
    if allowed:
        agreed = dataclasses.replace(AUTOENCODER, scale=0.5, shift=0.25)
        assert load_restorer(SPEC, [folder, decoder]).spec.autoencoder == agreed
    else:
        refusal(
            ConfigError, lambda: load_restorer(SPEC, [folder, decoder]), "sim-vae/config.json", "decoder/config.json"
        )


def test_bin_files_are_read_and_safetensors_come_first(folder):
    tensors = load_restorer(SPEC, "random:4").state_dict()
    torch.save({name: value * 0 for name, value in tensors.items()}, folder / "pytorch_model.bin")
    assert load_restorer(SPEC, folder).encoder.conv_in.weight.abs().max() > 0
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    assert load_restorer(SPEC, folder).encoder.conv_in.weight.abs().max() == 0


@pytest.mark.parametrize(
    "config, named",
    [
        ({"latent_channels": 16}, ("latent_channels", "16", "4")),
        ({"block_out_channels": [8]}, ("block_out_channels", "[8]")),
        ({"scaling_factor": "1"}, ("scaling_factor", "'1'")),
        ({"shift_factor": 1e9}, ("shift",)),
        ({"shift_factor": 10**400}, ("config.json", "shift_factor", "beyond")),
        ({"scaling_factor": float("nan")}, ("scale",)),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder, config, named):
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    refusal(ConfigError, lambda: load_restorer(SPEC, folder), *named)


def test_folders_without_one_file_of_weights_are_refused(folder, tmp_path):
    (folder / "config.json").write_text("[1]")
    refusal(DataError, lambda: load_restorer(SPEC, folder), "config.json", "list")
    (tmp_path / "empty").mkdir()
    refusal(DataError, lambda: load_restorer(SPEC, tmp_path / "empty"), "empty")
    save_file({"x": torch.zeros(1)}, folder / "another.safetensors")
    refusal(DataError, lambda: load_restorer(SPEC, folder), "another.safetensors", "give the path", "config.json")


def test_the_hub_is_asked_by_its_own_client(monkeypatch):
    refusal(UsageError, lambda: load_restorer(SPEC, "hf:owner"), "hf:owner", "OWNER/REPOSITORY")
    refusal(UsageError, lambda: load_restorer(SPEC, "hf:owner/name/../up"), "names no repository")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refusal(UnavailableError, lambda: load_restorer(SPEC, "hf:owner/name"), "hf:owner/name", "cannot be fetched")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refusal(UnavailableError, lambda: load_restorer(SPEC, "hf:owner/name"), "huggingface_hub", "hub")


@pytest.mark.parametrize("folder, fetched", [("", {"a.safetensors", "config.json"}), ("/vae", {"vae/b.safetensors"})])
def test_only_the_folder_itself_is_fetched(folder, fetched, monkeypatch, tmp_path):
    """A repository of a large model has many parts, each in a folder of its own."""
    from huggingface_hub.utils import filter_repo_objects

    files = ["a.safetensors", "config.json", "vae/b.safetensors", "vae/c/d.safetensors", "unet/e.bin", "notes.txt"]
    asked = {}

    def fetch(repository, **options):
        wanted = {name: options[name] for name in ("allow_patterns", "ignore_patterns")}
        asked["files"] = set(filter_repo_objects(files, **wanted))
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    refusal(UnavailableError, lambda: load_restorer(SPEC, f"hf:owner/name{folder}"), "offline")
    assert asked["files"] == fetched


def test_an_estimator_of_ones_own():
    spec = dataclasses.replace(SPEC, estimator=ModuleSpec(path=f"{__name__}:Mean", stride=4))
    assert ModelSpec.from_yaml(spec.to_yaml()) == spec
    restorer = load_restorer(spec, "random:0")
    assert isinstance(restorer.estimator, Mean)
    assert "estimator.mix.weight" in restorer.state_dict()


def test_a_module_of_ones_own_is_left_as_it_is(tmp_path):
    """What a container of the user's does with its layers is not known, and they may be of any kind."""
    spec = dataclasses.replace(SPEC, estimator=ModuleSpec(path=f"{__name__}:Unusual", stride=4))
    assert float(load_restorer(spec, "random:0").estimator.norm.running_var.min()) == 1.0
    given = Restorer(spec).eval()
    given.estimator.norm.num_batches_tracked.fill_(7)
    torch.save(given.state_dict(), tmp_path / "weights.pth")
    restorer = load_restorer(spec, tmp_path / "weights.pth")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = given.estimator(image)
    assert int(restorer.estimator.norm.num_batches_tracked) == 7
    for estimator in (restorer.estimator, lower(restorer, 32, io="float").estimator):
        assert torch.allclose(estimator(image), expected, atol=1e-6)


def test_training_checkpoints_are_read(tmp_path):
    given = load_restorer(SPEC, "random:4").state_dict()
    parts = {f"state_dict_{part}": {} for part in ("estimator", "encoder", "field", "decoder")}
    for name, value in given.items():
        part, _, rest = name.partition(".")
        parts[f"state_dict_{part}"][rest] = value
    torch.save({"epoch": 0, "state_dict": {"restorer.x": torch.zeros(1)}, **parts}, tmp_path / "last.ckpt")
    assert_equal(load_restorer(SPEC, tmp_path / "last.ckpt").state_dict(), given)


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_without_an_estimator_the_encoder_is_the_first_group():
    groups = groups_of(lower(load_restorer(SPEC, "random:0"), 32))
    assert [(group.name, group.module) for group in groups] == [("encoder", "encoder"), ("decoder", "decoder")]


@pytest.mark.parametrize("path", ["os:getcwd", "no_such_package:Net", f"{__name__}:Missing", "torch.nn:Conv2d"])
def test_estimators_that_are_none_are_refused(path):
    spec = dataclasses.replace(SPEC, estimator=ModuleSpec(path=path))
    refusal(ConfigError, lambda: load_restorer(spec, "random:0"), path)
    refusal(ConfigError, lambda: ModuleSpec(path="os.getcwd"), "package.module:Class")


@pytest.mark.parametrize("name", ["latent-pmrf", "latent-pmrf-nano"])
def test_presets_are_read_back(name):
    spec = load_spec(name)
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    assert spec.family_name == "latent_pmrf"
