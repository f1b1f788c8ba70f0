"""ExecuTorch: what is delegated, what is shared, and damage that must not crash the tool."""

import dataclasses

import numpy as np
import pytest
import torch

from elir_edge import load_restorer, open_session
from elir_edge.core.progress import Silent
from elir_edge.errors import DataError
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, SimVaeSpec
from elir_edge.imaging.comparison import psnr_of
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.lowering.lower import lower
from elir_edge.pipeline.target import Conversion
from elir_edge.runtime.executorch_backend import read_manifest
from elir_edge.runtime.probe import probe
from exporters.executorch import TARGET
from tests.helpers import refusal
from tests.tiny import SPEC

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def artifact(tiny_artifact):
    return tiny_artifact("executorch")


def test_xnnpack_runs_the_whole_graph(artifact):
    facts = artifact.manifest.format
    assert facts["delegate"] == "XNNPACK"
    assert facts["delegated_ops"] > 100
    assert (facts["delegated_parts"], facts["other_ops"]) == (1, {})


def test_weights_are_there_once_for_steps_and_methods(artifact):
    assert artifact.size_bytes < 1.15 * 4 * artifact.manifest.graph["parameters"]


def test_both_methods_give_the_same_picture(artifact):
    image = artifact.manifest.inputs[0]
    feeds = {"image": np.random.default_rng(0).random(image.shape, np.float32)}
    names = tuple(stage.name for stage in artifact.manifest.stages)
    with open_session(artifact.path) as forward, open_session(artifact.path, stages=names) as stages:
        assert np.array_equal(forward.run(feeds)["restored"], stages.run(feeds)["restored"])


def test_a_file_cut_short_is_refused(artifact, tmp_path):
    cut = tmp_path / "cut.pte"
    data = artifact.path.read_bytes()
    for share in (0.0, 0.5, 0.99):
        cut.write_bytes(data[: int(len(data) * share)])
        refusal(DataError, lambda: read_manifest(cut), "cut.pte", "not an ExecuTorch program")
    refusal(DataError, lambda: probe(cut), "cut.pte", "not an ExecuTorch program")


def test_sim_vae_is_one_delegate(tmp_path):
    """Its upsampling is a convolution: XNNPACK resizes by no other way."""
    vae = SimVaeSpec(4, widths=(8, 8), encoder_blocks=1, decoder_blocks=1, mid_blocks=1)
    spec = LatentPmrfSpec(name="vae", size=32, steps=0, estimator=None, field=None, autoencoder=vae)
    graph = lower(load_restorer(spec, "random:0"), norm="pointwise")
    facts = TARGET.convert(graph, Conversion(tmp_path, "vae", "fp32", Silent()))
    assert (facts["delegated_parts"], facts["other_ops"]) == (1, {})


def test_int8_is_integer_where_it_counts_and_shares_what_steps_share(tmp_path):
    """The conversion alone, of two normalized steps: what int8 costs in quality is measured on trained weights."""
    field = dataclasses.replace(SPEC.field, hidden=64, multipliers=(1,))
    graph = lower(load_restorer(dataclasses.replace(SPEC, estimator=None, field=field)), norm="pointwise")
    feeds = tuple({"image": image_of(name)} for name in ("coffee", "rocket", "chelsea"))
    facts = TARGET.convert(graph, Conversion(tmp_path, "small", "int8", Silent(), feeds))
    assert (facts["delegated_parts"], facts["other_ops"]) == (1, {})
    assert (tmp_path / "small.pte").stat().st_size < 0.5 * 4 * graph.parameter_count()
    expected = graph(torch.from_numpy(image_of("astronaut"))).numpy()
    with open_session(tmp_path / "small.pte") as session:
        restored = session.run({"image": image_of("astronaut")})["restored"]
    assert 30 < psnr_of(restored - expected) < 100


def image_of(name):
    pixels = fit_picture(builtin_photograph(name), SPEC.size, SPEC.size).astype(np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None] / np.float32(255))
