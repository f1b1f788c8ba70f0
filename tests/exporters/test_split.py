"""Split artifacts: exported, validated, restoring with any number of steps as the unrolled graph does."""

import dataclasses

import numpy as np
import pytest

from elir_edge import export, load_artifact, load_restorer, lower, open_session, restore_picture
from elir_edge.artifacts.artifact import sidecar
from elir_edge.artifacts.split import MANIFEST_FILE, SHIFTS_FILE
from elir_edge.errors import DataError, UsageError
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, ResidualSpec, SimVaeSpec
from elir_edge.formats.embedded import check_agreement
from elir_edge.imaging.pictures import builtin_photograph, read_picture, write_picture
from elir_edge.runtime.restore import run_picture
from elir_edge.validation.trials import gather_pictures
from elir_edge.validation.validate import validate
from elir_edge.validation.verify import verify
from tests.helpers import refusal, run_process
from tests.tiny import SPEC

PMRF = LatentPmrfSpec(
    name="tiny-pmrf",
    size=64,
    steps=3,
    estimator=ResidualSpec(widths=(8, 12), blocks=(1, 1, 1)),
    autoencoder=SimVaeSpec(4, widths=(16, 24), encoder_blocks=1, decoder_blocks=1, mid_blocks=1, shift=0.2, scale=1.5),
    field=ResidualSpec(widths=(16,), blocks=(1,), time_features=16),
    weights="random:0",
)
SPECS = {"elir": dataclasses.replace(SPEC, steps=3), "latent_pmrf": PMRF}
EQUAL = 1e-5

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """The split artifact of ELIR in ONNX."""
    return export(load_restorer(SPECS["elir"]), "onnx", out=tmp_path_factory.mktemp("split"), split=True)


@pytest.mark.parametrize(
    ("family", "target"), [("elir", "onnx"), ("elir", "openvino"), ("elir", "tflite"), ("latent_pmrf", "tflite")]
)
def test_any_number_of_steps_equals_the_unrolled_graph(family, target, tmp_path):
    """The graphs of both families: tests/lowering/test_split.py; what a format makes of them, here."""
    restorer = load_restorer(SPECS[family])
    artifact = export(restorer, target, out=tmp_path, split=True)
    assert artifact.path.suffix == (".tflite" if target == "tflite" else ".split")
    assert artifact.manifest.split == {"most_steps": 3}
    assert verify(artifact).passed
    assert load_artifact(artifact.path).manifest == artifact.manifest
    result = validate(artifact.path, artifact.manifest, restorer, gather_pictures(None, (64, 64)), stages=True)
    assert result.passed, result.failures
    assert [stage.stage for stage in result.stages][-3:] == ["state_1", "state_2", "state_3"]
    assert not any(stage.drifted for stage in result.stages)
    pixels = builtin_photograph("astronaut")[:64, :64]
    for steps in (1, 2, 3):
        restorer.spec = dataclasses.replace(SPECS[family], steps=steps)
        with open_session(lower(restorer)) as whole, open_session(artifact.path, steps=steps) as parts:
            assert np.abs(run_picture(parts, pixels) - run_picture(whole, pixels)).max() <= EQUAL


def test_it_equals_the_unrolled_artifact(split, tmp_path):
    unrolled = export(load_restorer(SPECS["elir"]), "onnx", out=tmp_path)
    pixels = builtin_photograph("astronaut")[:64, :64]
    with open_session(unrolled.path) as whole, open_session(split.path) as parts:
        assert parts.backend == whole.backend
        assert np.abs(run_picture(parts, pixels) - run_picture(whole, pixels)).max() <= EQUAL


def test_its_size_does_not_depend_on_the_number_of_steps(split, tmp_path):
    many = export(load_restorer(dataclasses.replace(SPECS["elir"], steps=12)), "onnx", out=tmp_path, split=True)
    table = (many.path / SHIFTS_FILE).stat().st_size - (split.path / SHIFTS_FILE).stat().st_size
    manifests = (many.path / MANIFEST_FILE).stat().st_size - (split.path / MANIFEST_FILE).stat().st_size
    assert many.size_bytes - split.size_bytes == table + manifests
    assert many.size_bytes - table <= 1.25 * 4 * split.manifest.graph["parameters"]


def test_the_manifest_inside_has_to_agree_with_the_one_beside(split):
    check_agreement(split.path, split.manifest)
    other = dataclasses.replace(split.manifest, precision="fp16")
    refusal(DataError, lambda: check_agreement(split.path, other), "precision", "fp16")


def test_fp16_and_bytes(tmp_path):
    artifact = export(load_restorer(SPECS["elir"]), "onnx", "fp16", io="uint8", out=tmp_path, split=True)
    picture = builtin_photograph("chelsea")[:90, :100]
    with open_session(artifact.path) as session:
        assert restore_picture(session, picture).shape == picture.shape


def test_the_command_line_chooses_the_steps(split, tmp_path):
    picture, results = tmp_path / "photos" / "photo.png", []
    picture.parent.mkdir()
    write_picture(picture, builtin_photograph("chelsea")[:64, :64])
    arguments = ("restore", picture.parent, "-o", tmp_path / "out", "-a", split.path, "--steps")
    for steps in (("1",), ("3", "--force")):
        done = run_process(*arguments, *steps)
        assert done.code == 0, done.err
        results.append(read_picture(tmp_path / "out" / "photo.png"))
    other = run_process(*arguments, "1")  # what is there was made with 3
    assert other.code == 73 and "settings" in other.err
    assert (results[0] != results[1]).any()
    too_many = run_process("restore", picture, "-o", tmp_path / "4.png", "-a", split.path, "--steps", "4")
    assert too_many.code == 2 and "1 to 3" in too_many.err
    assert run_process("restore", picture, "-o", tmp_path / "t.png", "--steps", "2").code == 2
    sidecar(split.path).rename(tmp_path / "kept.json")
    told = run_process("inspect", split.path)  # by the manifest inside
    assert told.code == 0 and "1 to 3 steps" in told.out
    (tmp_path / "kept.json").rename(sidecar(split.path))


def test_what_cannot_be_split_is_refused(tiny_artifact, tiny_restorer, tmp_path):
    refusal(UsageError, lambda: export(tiny_restorer, "executorch", out=tmp_path, split=True), "executorch", "onnx")
    refusal(UsageError, lambda: export(tiny_restorer, "onnx", "int8", out=tmp_path, split=True), "int8", "split")
    refusal(UsageError, lambda: open_session(tiny_artifact("onnx").path, steps=1), "unrolled", "--split")


def test_damage_is_refused(split, tmp_path):
    import shutil

    def damage(name, data):
        copy = tmp_path / f"{name}.split"
        shutil.copytree(split.path, copy)
        (copy / name).write_bytes(data) if data is not None else (copy / name).unlink()
        return copy

    for name in (MANIFEST_FILE, SHIFTS_FILE):
        for data in (None, b"", b"{}"):
            refusal(DataError, lambda name=name, data=data: open_session(damage(name, data)), name)
            shutil.rmtree(tmp_path / f"{name}.split")
