"""The moving average: its warm-up, its recurrence, and what it keeps."""

import math

import pytest
import torch
from torch import nn

from elir_edge.training.ema import MovingAverage, decay_at


def test_decay_warms_up_to_its_value():
    assert decay_at(0) == 0.0
    assert decay_at(2000) == pytest.approx(0.999 * (1 - math.exp(-1)))
    assert decay_at(10**6) == pytest.approx(0.999)


def test_the_recurrence_by_hand():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(1.0)
    average = MovingAverage(module)
    with torch.no_grad():
        module.weight.fill_(3.0)
    average.update(module, 500)
    decay = 0.999 * (1 - math.exp(-0.25))
    assert average.values["weight"].item() == pytest.approx(decay * 1.0 + (1 - decay) * 3.0)


def test_values_are_copies_and_names_are_checked():
    module = nn.Linear(2, 2)
    average = MovingAverage(module)
    kept = average.state_dict()
    with torch.no_grad():
        module.weight.add_(1.0)
    average.update(module, 1)
    assert not torch.equal(kept["weight"], average.values["weight"])
    average.load_state_dict(kept)
    assert torch.equal(average.values["weight"], kept["weight"])
    with pytest.raises(KeyError):
        average.load_state_dict({"weight": kept["weight"]})


def test_tied_weights_are_averaged_under_each_of_their_names():
    """Only the first was: the others were published as they were after the last step."""
    layer = nn.Linear(1, 1)
    average = MovingAverage(nn.Sequential(layer, layer))
    assert average.values.keys() == nn.Sequential(layer, layer).state_dict().keys()
    with torch.no_grad():
        layer.weight.add_(1.0)
    average.update(nn.Sequential(layer, layer), 500)
    assert torch.equal(average.values["0.weight"], average.values["1.weight"])
    assert not torch.equal(average.values["0.weight"], layer.weight)
