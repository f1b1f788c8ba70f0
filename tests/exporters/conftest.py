"""Fixtures of the tests of targets."""

from __future__ import annotations

import pytest

from elir_edge.pipeline.target import get_target, targets
from elir_edge.runtime.backend import get_backend
from tests.tiny import why_no_export


@pytest.fixture(scope="module", params=sorted(targets()))
def target(request):
    found = get_target(request.param)
    reason = why_no_export(found)
    if reason:
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def runs_here(target):
    """Skips the test if no backend of the target runs here."""
    reason = get_backend(target.backends[0]).why_not_here()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def float_artifact(target, tiny_artifact):
    return tiny_artifact(target.name)
