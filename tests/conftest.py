"""Fixtures that many tests share."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from filelock import FileLock
from hypothesis import settings

from elir_edge import cli
from elir_edge.artifacts.artifact import Artifact
from elir_edge.core.signal_stack import keep_signal_stack
from elir_edge.errors import UnavailableError
from elir_edge.families.elir.spec import ElirSpec
from exporters.web import PLACE, find_runtime
from tests.helpers import Outcome
from tests.tiny import BARE, LIGHT, QUICK, SPEC

if TYPE_CHECKING:
    from elir_edge.families.restorer import Restorer


# Threads of torch that wait for each other spin, each on the core that the other needs, where several processes share
# the cores: an int8 export took four times the processor time. It is read when torch is loaded, so it stands here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Chance finds new cases while one works on the code; what decides about a change is the same each time.
settings.register_profile("work", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "work")


# Files of a minute or more by themselves. Processes that share the files out take them first: one of them last would
# keep one process busy while the others have nothing left.
LONGEST = (
    "exporters/test_contract.py",
    "quantize/test_tflite.py",
    "house/test_commands.py",
    "robustness/test_machine.py",
    "exporters/test_executorch.py",
    "exporters/test_contract_exports.py",
    "exporters/test_full_size.py",
    "packaging/test_package.py",
    "exporters/test_split.py",
    "robustness/test_kills.py",
    "npu/test_fit.py",
    "families/latent_pmrf/test_export.py",
    "npu/test_compile.py",
    "quantize/test_tune.py",
    "validation/test_stages.py",
    "quantize/test_onnx.py",
    "quantize/test_openvino.py",
    "pipeline/test_mixed.py",
    "cli/test_failures.py",
    "pipeline/test_entry_point.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def tiny_spec() -> ElirSpec:
    """The smallest model that has every part."""
    return SPEC


@pytest.fixture(scope="session")
def tiny_restorer(tiny_spec):
    """The tiny model with its stand-in weights."""
    from elir_edge.families.weights import load_restorer

    return load_restorer(tiny_spec)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder that all processes of this test run see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def light_restorer():
    """The model of ``LIGHT`` with its stand-in weights."""
    from elir_edge.families.weights import load_restorer

    return load_restorer(LIGHT)


@pytest.fixture(scope="session")
def tiny_artifact(tiny_restorer, shared_folder) -> Callable[..., Artifact]:
    """Exports the tiny model, each (target, precision, io, noise) once in all processes of this test run.

    Tests must not change the files.
    """
    return exporter(tiny_restorer, shared_folder / "tiny")


@pytest.fixture(scope="session")
def light_artifact(light_restorer, shared_folder) -> Callable[..., Artifact]:
    """As ``tiny_artifact``, of the light model."""
    return exporter(light_restorer, shared_folder / "light")


@pytest.fixture(scope="session")
def bare_restorer():
    """The model of ``BARE`` with its stand-in weights."""
    from elir_edge.families.weights import load_restorer

    return load_restorer(BARE)


@pytest.fixture(scope="session")
def bare_artifact(bare_restorer, shared_folder) -> Callable[..., Artifact]:
    """As ``tiny_artifact``, of the autoencoder alone."""
    return exporter(bare_restorer, shared_folder / "bare")


def exporter(restorer: Restorer, folder: Path) -> Callable[..., Artifact]:
    """Makes artifacts of ``restorer`` below ``folder``, those that are there already excepted."""
    from elir_edge import export
    from elir_edge.pipeline.target import INTEGER_PRECISIONS

    @functools.cache
    def make(target: str, precision: str = "fp32", io: str | None = None, noise: str = "baked:3") -> Artifact:
        quantization = QUICK if precision in INTEGER_PRECISIONS else None
        out = folder / f"{target}-{precision}-{io}-{noise.replace(':', '')}"
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{out}.lock"):
            # It returns an identical artifact that another process has made.
            return export(restorer, target, precision, noise=noise, io=io, out=out, quantization=quantization)

    return make


@pytest.fixture(scope="session", autouse=True)
def npm_package():
    """Let tests with a private cache find the npm package of the web target."""
    with contextlib.suppress(UnavailableError):
        os.environ.setdefault(PLACE, str(find_runtime()))


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """Give each test its own cache folder."""
    folder = Path(tempfile.mkdtemp(prefix="cache", dir=tmp_path_factory.getbasetemp()))
    monkeypatch.setenv("ELIR_EDGE_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def tell_crashes(request):
    """Bring faulthandler's signal handlers back after each test: Lightning and Ray put the system's in their place.

    The handlers' stack too, which tests may lose that call OpenVINO by themselves.
    """
    with keep_signal_stack():
        yield
    faulthandler.disable()
    faulthandler.enable(request.config.stash[fault_handler_stderr_fd_key])


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium that all tests share."""
    from tests.browser import open_browser

    with open_browser() as opened:
        yield opened


@pytest.fixture
def run(capfd):
    """The command line in this process: takes its arguments, returns exit code, stdout and stderr."""

    def call(*arguments: object) -> Outcome:
        code = cli.run([str(argument) for argument in arguments])
        sys.stdout.flush()
        return Outcome(code, *capfd.readouterr())

    return call
