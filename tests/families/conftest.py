"""Fixtures of the tests of families."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def tiny_tensors(tiny_restorer) -> dict:
    """State dict of the tiny model."""
    return {name: tensor.clone() for name, tensor in tiny_restorer.state_dict().items()}
