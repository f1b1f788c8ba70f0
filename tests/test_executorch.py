"""ExecuTorch: what is delegated, what is shared, and damage that must not crash the tool."""

import numpy as np
import pytest

from elir_edge import export, load_restorer, open_session
from elir_edge.errors import DataError
from elir_edge.probe import probe
from tests.helpers import refused
from tests.test_target_contract import SPEC

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return export(load_restorer(SPEC), "executorch", out=tmp_path_factory.mktemp("executorch"))


def test_xnnpack_runs_the_whole_graph(artifact):
    facts = artifact.manifest.format
    assert facts["delegate"] == "XNNPACK"
    assert facts["delegated_ops"] > 300
    assert (facts["delegated_parts"], facts["other_ops"]) == (1, {})


def test_weights_are_there_once_for_steps_and_methods(artifact):
    assert artifact.size_bytes < 1.15 * 4 * artifact.manifest.graph["parameters"]


def test_both_methods_give_the_same_picture(artifact):
    image = artifact.manifest.inputs[0]
    feeds = {"image": np.random.default_rng(0).random(image.shape, np.float32)}
    names = tuple(stage.name for stage in artifact.manifest.stages)
    with open_session(artifact.path) as forward, open_session(artifact.path, stages=names) as stages:
        assert np.array_equal(forward.run(feeds)["restored"], stages.run(feeds)["restored"])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_refused(artifact, share, tmp_path):
    cut = tmp_path / "cut.pte"
    data = artifact.path.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    refused(DataError, lambda: probe(cut), "cut.pte")
