"""Estimators of the user's own: what is unusual in them, and what is refused with a message."""

import dataclasses

import pytest
import torch
from torch import nn

from elir_edge import export, load_restorer
from elir_edge.cli import run
from elir_edge.errors import ConfigError
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, ModuleSpec, SimVaeSpec
from elir_edge.lowering.cost import cost_of
from elir_edge.lowering.lower import lower, measure
from tests.families.toy import Toy, ToySpec
from tests.helpers import refusal

AUTOENCODER = SimVaeSpec(4, widths=(8, 12), encoder_blocks=1, decoder_blocks=1, mid_blocks=1)
SPEC = LatentPmrfSpec(name="vae", size=32, steps=0, estimator=None, field=None, autoencoder=AUTOENCODER)


class Reading(nn.Module):
    """Reads its own numbers when it is built."""

    def __init__(self):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]
        self.mix = nn.Conv2d(3, 3, 1)

    def forward(self, image):
        return image + self.mix(image) * self.rates[2]


class Normalized(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.utils.weight_norm(nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, image):
        return image + self.mix(image)


class Twice(Reading):
    def forward(self, image):
        return super().forward(image), image


class Larger(Reading):
    def forward(self, image):
        return super().forward(image).repeat_interleave(2, dim=3)


class Held(nn.Module):
    """Keeps a tensor that is neither parameter nor buffer."""

    def __init__(self):
        super().__init__()
        self.mean = torch.tensor([0.45, 0.44, 0.4]).view(1, 3, 1, 1)
        self.mix = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image):
        return image + self.mix(image - self.mean)


class Made(nn.Module):
    """Makes a tensor whenever it runs."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image):
        ramp = torch.linspace(0, 1, image.shape[3]).expand(1, 1, image.shape[2], -1)
        return image + self.mix(torch.cat([image, ramp], 1))


class NeedsMore(nn.Module):
    def __init__(self):
        super().__init__()
        raise RuntimeError("needs a GPU")


def spec_of(kind):
    return dataclasses.replace(SPEC, estimator=ModuleSpec(path=f"{__name__}:{kind.__name__}"))


def test_one_that_reads_its_numbers_has_a_cost():
    cost = cost_of(spec_of(Reading), (32, 32))
    assert cost.parts["estimator"] == 12
    assert cost.gflop > cost_of(SPEC, (32, 32)).gflop


@pytest.mark.parametrize("kind", [Held, Made])
def test_one_with_tensors_of_its_own_has_a_cost(kind):
    own = cost_of(spec_of(kind), (32, 32)).gflop - cost_of(SPEC, (32, 32)).gflop
    assert own == pytest.approx(2 * 9 * 3 * kind().mix.in_channels * 32 * 32 / 1e9)
    lowered = measure("lowered", lower(load_restorer(spec_of(kind), "random:0"), 32))
    assert lowered.gflop == pytest.approx(cost_of(spec_of(kind), (32, 32)).gflop, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Held, Made])
def test_one_with_tensors_of_its_own_is_exported_and_inspected(kind, tmp_path, capfd):
    artifact = export(load_restorer(spec_of(kind), "random:0"), out=tmp_path)
    assert artifact.manifest.parity["max_abs"] < 1e-3
    (tmp_path / "own.yaml").write_text(spec_of(kind).to_yaml())
    assert run(["inspect", str(tmp_path / "own.yaml")]) == 0
    assert "GFLOP" in capfd.readouterr().out


def test_normalized_weights_become_plain_in_the_graph_alone():
    given = load_restorer(spec_of(Normalized), "random:0")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    graph = lower(given, 32)
    assert torch.allclose(graph(image), given(image), atol=1e-6)
    assert {name for name, _ in graph.estimator.named_parameters()} == {"mix.weight", "mix.bias"}
    assert measure("lowered", graph).gflop > 0
    assert "estimator.mix.weight_g" in given.state_dict()
    assert torch.equal(load_restorer(spec_of(Normalized), given.state_dict())(image), given(image))


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.rand(3, 1, 1))

    def forward(self, image):
        return image * self.mask


def test_stand_ins_of_one_seed_have_the_same_buffers():
    before = torch.random.get_rng_state()
    first, second, other = (load_restorer(spec_of(Masked), f"random:{seed}").estimator.mask for seed in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_one_that_cannot_be_built_is_refused():
    refusal(
        ConfigError, lambda: load_restorer(spec_of(NeedsMore), "random:0"), "NeedsMore", "RuntimeError: needs a GPU"
    )


@pytest.mark.parametrize("kind, named", [(Twice, "a tuple"), (Larger, "(1, 3, 32, 64)")])
def test_one_that_returns_no_picture_of_the_same_size_is_refused(kind, named):
    restorer = load_restorer(spec_of(kind), "random:0")
    image = torch.rand(1, 3, 32, 32)
    for ask in (lambda: restorer(image), lambda: measure("lowered", lower(restorer, 32))):
        refusal(ConfigError, ask, "the estimator makes", named, "(1, 3, 32, 32)")


def test_a_model_that_changes_the_size_is_refused(monkeypatch):
    grow = nn.ConvTranspose2d(6, 3, 4, 4)
    monkeypatch.setattr(ToySpec, "family", Toy())
    monkeypatch.setattr(
        Toy, "parts", lambda self, spec, expanded, own=Toy.parts: own(self, spec, expanded=expanded) | {"grow": grow}
    )
    restorer = load_restorer(ToySpec(size=32, steps=1), "random:0")
    refusal(ConfigError, lambda: restorer(torch.rand(1, 3, 32, 32)), "(1, 3, 64, 64)", "keeps the size")
