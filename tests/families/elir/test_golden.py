"""The model against the reference implementation's own outputs, eager and lowered."""

import numpy as np
import pytest
import torch

from elir_edge import load_restorer, lower
from elir_edge.families.elir.spec import ElirSpec
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import load_spec
from tests.stand_in_weights import DATA, layout, stand_in_state

TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=["sr", "sr_uncollapsed"])
def name(request):
    """A layout of the reference implementation: collapsed, and as trained."""
    return request.param


@pytest.fixture(scope="module")
def state(name):
    return stand_in_state(name)


@pytest.fixture(scope="module")
def golden(name):
    return dict(np.load(DATA / f"{name}.npz"))


@pytest.fixture(scope="module")
def collapsed_restorer(state):
    return load_restorer("sr", state)


def assert_close(actual, golden, what):
    actual = actual.numpy() if isinstance(actual, torch.Tensor) else actual
    assert actual.shape == golden.shape, what
    assert np.isfinite(actual).all(), what
    assert np.abs(actual - golden).max() <= TOLERANCE * np.abs(golden).max(), what


def test_eager_model_reproduces_every_stage(name, state, golden):
    """As trained where the layout is uncollapsed, so that the reference's own form is compared."""
    restorer = Restorer(load_spec("sr"), expanded=name.endswith("uncollapsed"))
    restorer.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    restorer.eval().requires_grad_(False)
    assert (restorer.spec.steps, restorer.spec.sigma_s) == (
        int(golden["k_steps"]),
        pytest.approx(golden["noise_std"]),
    )
    actual = restorer.trajectory(torch.from_numpy(golden["image"]), torch.from_numpy(golden["noise"]))
    for stage in ("encoded", "coarse", "restored"):
        assert_close(getattr(actual, stage), golden[stage], stage)
    assert_close(actual.unclipped_image, golden["decoded"], "decoded")
    assert_close(torch.stack(actual.states), golden["states"], "states")


@pytest.mark.parametrize("norm", ["native", "pointwise"])
def test_lowered_model_reproduces_every_stage(collapsed_restorer, golden, norm):
    graph = lower(collapsed_restorer, golden["image"].shape[2:], noise="input", norm=norm)
    stages = graph.stages(torch.from_numpy(golden["image"]), torch.from_numpy(golden["noise"]))
    for stage in ("encoded", "coarse"):
        assert_close(stages[stage] / graph.latent_gain, golden[stage], stage)
    for k, state in enumerate(golden["states"]):
        assert_close(stages[f"state_{k}"] / graph.latent_gain, state, f"state_{k}")
    assert_close(stages["restored"], golden["restored"], "restored")


@pytest.mark.parametrize("published", ["sr", "bfr", "bsr", "sr_uncollapsed", "bfr_uncollapsed", "bsr_uncollapsed"])
def test_names_and_shapes_are_those_of_the_published_checkpoints(published):
    with torch.device("meta"):
        restorer = Restorer(load_spec(published.split("_")[0]), expanded=published.endswith("uncollapsed"))
    assert {key: tuple(tensor.shape) for key, tensor in restorer.state_dict().items()} == layout(published)


# field, estimator, autoencoder, all: millions of parameters; GFLOP at the preset's size (elir.md, section 2)
FIGURES = {
    "bfr": (29.561, 5.499, 2.459, 37.519, 498.9),
    "sr": (18.936, 5.499, 2.459, 26.894, 101.9),
    "bsr": (11.126, 5.499, 2.459, 19.084, 91.1),
}


@pytest.mark.parametrize("published", FIGURES)
def test_parameters_and_arithmetic_are_the_published_ones(published):
    from torch.utils.flop_counter import FlopCounterMode

    spec = load_spec(published)
    with torch.device("meta"):
        restorer = Restorer(spec)
    with FlopCounterMode(display=False) as flops:
        restorer(torch.empty(1, 3, spec.size, spec.size, device="meta"))
    parts = (restorer.fmir, restorer.mmse, torch.nn.ModuleList([restorer.enc, restorer.dec]), restorer)
    millions = [round(sum(p.numel() for p in part.parameters()) / 1e6, 3) for part in parts]
    assert (*millions, round(flops.get_total_flops() / 1e9, 1)) == FIGURES[published]


def test_nano_is_small():
    from elir_edge.lowering.lower import measure

    restorer = load_restorer("nano")
    cost = measure("lowered", lower(restorer, 256))
    assert cost.parameters <= 2.5e6
    assert cost.gflop <= 13.0


def test_noise_defaults_to_a_fixed_seed_and_scales_with_sigma():
    restorer = load_restorer(ElirSpec(**TINY), "random:3")
    image = torch.rand(1, 3, 64, 32)
    assert torch.equal(restorer(image), restorer(image))
    shape = restorer.spec.latent_shape(64, 32)
    zero, one = torch.zeros(shape), torch.ones(shape)
    states = [restorer.trajectory(image, noise).states[0] for noise in (zero, one)]
    assert torch.allclose(states[1] - states[0], torch.full_like(one, restorer.spec.sigma_s), atol=1e-6)


TINY = {
    "size": 64,
    "steps": 2,
    **{
        key: value
        for key, value in vars(load_spec("nano")).items()
        if key in ("autoencoder", "estimator", "field", "sigma_s")
    },
}


@pytest.mark.parametrize("shape", [(1, 3, 60, 64), (3, 64, 64), (1, 1, 64, 64)])
def test_pictures_that_do_not_fit_are_refused(shape):
    from elir_edge.errors import ElirEdgeError

    with pytest.raises(ElirEdgeError):
        load_restorer(ElirSpec(**TINY), "random:0")(torch.rand(shape))
