"""Fixtures that many tests share."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import settings

from elir_edge.errors import UnavailableError
from elir_edge.families.elir.spec import AutoencoderSpec, ElirSpec, EstimatorSpec, FieldSpec
from exporters.web import PLACE, find_runtime

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models gain nothing from threads that wait for each other


# Chance finds new cases while one works on the code; what decides about a change is the same each time.
settings.register_profile("work", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "work")


@pytest.fixture(scope="session")
def tiny_spec() -> ElirSpec:
    """The smallest model that has every part."""
    return ElirSpec(
        name="tiny",
        size=64,
        steps=2,
        autoencoder=AutoencoderSpec(latent_channels=4, width=8, levels=2, blocks=1),
        estimator=EstimatorSpec(hidden=8, blocks=1),
        field=FieldSpec(hidden=32, multipliers=(1, 2), mid_blocks=1, time_features=16),
        weights="random:0",
    )


@pytest.fixture(scope="session")
def tiny_restorer(tiny_spec):
    """Its stand-in weights, loaded."""
    from elir_edge.families.weights import load_restorer

    return load_restorer(tiny_spec)


@pytest.fixture(scope="session", autouse=True)
def npm_package():
    """What npm installed for the web target stays findable from the private caches."""
    with contextlib.suppress(UnavailableError):
        os.environ.setdefault(PLACE, str(find_runtime()))


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """Downloads and locks of a test stay its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ELIR_EDGE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def browser():
    """A Chromium without a window, the same for all tests."""
    from tests.browser import open_browser

    with open_browser() as opened:
        yield opened
