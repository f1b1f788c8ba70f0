"""Biases of PT2E programs: what shifts a channel's mean is taken back, convolution by convolution, step by step."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from elir_edge.core.progress import Silent
from elir_edge.quantize.xnnpack_bias import correct_biases, is_convolution

pytestmark = pytest.mark.slow


class Steps(nn.Module):
    """A convolution, two steps of another one, a transposed one without a bias, and one over rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.step = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.ConvTranspose2d(4, 2, 2, stride=2, bias=False)
        self.rows = nn.Conv1d(2, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        z = torch.relu(self.first(image))
        for _ in range(2):
            z = z + self.step(z)
        z = self.last(z)
        return z + self.rows(z.mean(3)).unsqueeze(3)


def program_of(model: nn.Module) -> torch.fx.GraphModule:
    return torch.export.export(model, (torch.zeros(1, 3, 6, 5),)).module()


@pytest.fixture
def models():
    """A network, and one with other biases, which are all that differs."""
    torch.manual_seed(0)
    plain = Steps()
    other = copy.deepcopy(plain)
    with torch.no_grad():
        other.first.bias += torch.tensor([0.3, -0.2, 0.0, 0.1])
        other.step.bias -= 0.25
        other.rows.bias += 0.5
    return plain, other


def samples(count: int) -> tuple[dict[str, np.ndarray], ...]:
    chance = np.random.default_rng(1)
    return tuple({"image": chance.normal(size=(1, 3, 6, 5)).astype(np.float32)} for _ in range(count))


@pytest.mark.parametrize("count", [1, 3, 12])
def test_other_biases_are_corrected_to_the_float_ones(count, models):
    plain, other = map(program_of, models)
    feeds = samples(count)
    correct_biases(other, plain, feeds, Silent())
    image = torch.from_numpy(feeds[0]["image"])
    torch.testing.assert_close(other(image), plain(image), rtol=0, atol=1e-5)


def test_steps_that_share_a_kernel_get_biases_of_their_own(models):
    plain, other = map(program_of, models)
    correct_biases(other, plain, samples(3), Silent())
    nodes = [node for node in other.graph.nodes if is_convolution(node)]
    assert len({str(node.args[2].target) for node in nodes}) == len(nodes) == 5
    assert len({str(node.args[1].target) for node in nodes}) == 4
    torch.export.export(other, (torch.zeros(1, 3, 6, 5),))  # the program can be traced again
