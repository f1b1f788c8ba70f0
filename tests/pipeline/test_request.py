"""The identity of an export's result: what has to change it, and what must not."""

import dataclasses

import torch
from torch import nn

from elir_edge import load_restorer
from elir_edge.families.latent_pmrf.spec import ModuleSpec
from elir_edge.pipeline.request import key_of, request_of
from tests.tiny import BARE, OWN


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image):
        return image + torch.relu(self.mix(image))


SPEC = dataclasses.replace(OWN, estimator=ModuleSpec(path=f"{__name__}:Own"))


def identity_of(spec):
    restorer = load_restorer(spec)
    return request_of(restorer, "onnx", "fp32", None, "baked:0", None, None).identity(restorer)


def test_the_code_of_a_module_of_the_users_is_part_of_it(monkeypatch):
    before = identity_of(SPEC)
    assert key_of(identity_of(SPEC)) == key_of(before)
    monkeypatch.setattr(Own, "forward", lambda self, image: image + torch.tanh(self.mix(image)))
    after = identity_of(SPEC)
    assert after["weights"]["tensors_sha256"] == before["weights"]["tensors_sha256"]
    assert key_of(after) != key_of(before)


def test_models_of_the_package_are_told_by_weights_and_versions():
    assert "stages_sha256" not in identity_of(dataclasses.replace(BARE, size=32))["weights"]
