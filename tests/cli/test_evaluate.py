"""elir-edge evaluate on stand-in weights: the figures are those of the pictures on its sheet."""

import json
from itertools import cycle

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from elir_edge.cli.evaluate import command
from elir_edge.errors import MissingInputError, OutputError, UsageError
from elir_edge.families.elir.spec import AutoencoderSpec, ElirSpec, EstimatorSpec, FieldSpec
from elir_edge.families.spec import MAX_SIDE
from elir_edge.imaging.comparison import picture_psnr
from elir_edge.imaging.degradations import DEGRADATIONS, Degradation
from elir_edge.training.evaluate import ssim

SPEC = ElirSpec(
    size=32,
    steps=1,
    autoencoder=AutoencoderSpec(latent_channels=4, width=8, levels=1, blocks=1),
    estimator=EstimatorSpec(hidden=4, blocks=1),
    field=FieldSpec(hidden=32, multipliers=(1, 2), mid_blocks=1, time_features=8),
    weights="random:1",
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC.to_yaml())
    (tmp_path / "pictures").mkdir()
    for seed, name in enumerate(("a", "b")):
        pixels = np.random.default_rng(seed).integers(0, 255, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((41, 38)).save(tmp_path / "pictures" / f"{name}.png")
    return tmp_path


def evaluate(folder, *arguments):
    common = ["--preset", folder / "spec.yaml", "--pictures", folder / "pictures", *arguments]
    return CliRunner().invoke(command, [str(argument) for argument in common])


def test_the_figures_are_those_of_the_sheet(folder):
    result = evaluate(folder, "--sigma", 25, "-o", folder / "sheet.png", "--json")
    assert result.exit_code == 0, result.exception
    scores = json.loads(result.stdout)["scores"]
    assert [score["name"] for score in scores] == ["a.png", "b.png", "mean"]
    sheet = np.asarray(Image.open(folder / "sheet.png"))
    height, width = (sheet.shape[0] - 4) // 2, (sheet.shape[1] - 8) // 3
    assert (height, width) == (36, 40)  # multiples of 4 around the centre of 38 x 41
    for row, score in enumerate(scores[:2]):
        top = row * (height + 4)
        cells = [sheet[top : top + height, j * (width + 4) : j * (width + 4) + width] for j in range(3)]
        assert score["degraded"]["psnr"] == pytest.approx(picture_psnr(cells[0], cells[2]))
        assert score["restored"]["psnr"] == pytest.approx(picture_psnr(cells[1], cells[2]))
        assert score["restored"]["ssim"] == pytest.approx(ssim(cells[1], cells[2]))
        with Image.open(folder / "pictures" / score["name"]) as original:
            assert np.array_equal(cells[2], np.asarray(original)[1:37, 0:40])
    assert scores[0]["degraded"]["psnr"] == pytest.approx(20.5, abs=1.5)
    assert scores[2]["degraded"]["psnr"] == pytest.approx(np.mean([s["degraded"]["psnr"] for s in scores[:2]]))


def test_the_table_names_every_picture(folder):
    result = evaluate(folder, "--task", "restoration")
    assert result.exit_code == 0, result.exception
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["picture", "a.png", "b.png", "mean"]


def test_how_many_pictures_the_mean_leaves_out_is_told(folder, monkeypatch):
    left = cycle((True, False))
    task = Degradation("restoration", "", lambda image, rng: image if next(left) else image // 2)
    monkeypatch.setitem(DEGRADATIONS, "restoration", task)
    result = evaluate(folder)
    assert result.stdout.splitlines()[-1].startswith("mean PSNR: without the 1 of 2 pictures")
    assert json.loads(evaluate(folder, "--json").stdout)["untouched"] == 1


def test_refusals(folder):
    (folder / "there.png").write_bytes(b"kept")
    assert isinstance(evaluate(folder, "-o", folder / "there.png").exception, OutputError)
    assert (folder / "there.png").read_bytes() == b"kept"
    assert isinstance(evaluate(folder, "--pictures", folder / "none").exception, MissingInputError)


def save(path, width, height):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)


def test_an_unfit_picture_is_named_and_costs_itself_alone(folder, run):
    """One ended all, without its name."""
    pictures = folder / "pictures"
    common = ("evaluate", "--preset", folder / "spec.yaml", "--pictures", pictures, "--sigma", 25)
    save(pictures / "small.png", 3, 40)
    save(pictures / "flat.png", 40, 9)
    save(pictures / "wide.png", MAX_SIDE + 4, 12)
    (pictures / "broken.png").write_text("no")
    (pictures / "._a.png").write_text("hidden")
    outcome = run(*common)
    assert outcome.code == 65, outcome.err
    for said in (
        "small.png: a picture of 3 x 40",
        "flat.png: pictures of 40 x 8",
        "wide.png: width",
        "broken.png: not",
    ):
        assert f"left out: {said}" in outcome.err
    assert [line.split()[0] for line in outcome.out.splitlines()[1:]] == ["a.png", "b.png", "mean", "2"]
    assert "2 of 6 pictures judged" in outcome.out
    told = json.loads(run(*common, "--json").out)
    assert list(told["left_out"]) == ["broken.png", "flat.png", "small.png", "wide.png"] and len(told["scores"]) == 3
    for name in ("a", "b"):
        (pictures / f"{name}.png").unlink()
    outcome = run(*common)
    assert outcome.code == 65 and "broken.png: not a picture" in outcome.err and "and 1 more" in outcome.err


def test_noise_of_no_number_is_refused(folder):
    assert evaluate(folder, "--sigma", "nan").exit_code == 2


@pytest.mark.parametrize("side, weights", [(3, []), (8, []), (11, ["-w", "random:1"])])
def test_a_side_that_leaves_nothing_to_compare_is_refused(folder, monkeypatch, side, weights):
    if not weights:
        monkeypatch.setattr("elir_edge.cli.evaluate.load_model", lambda *arguments: pytest.fail("it was loaded"))
    result = evaluate(folder, "--side", side, *weights)
    assert isinstance(result.exception, UsageError), result.exception
    assert f"--side {side}: the model takes multiples of 4" in str(result.exception)
    assert "take 12 or more" in result.exception.hint


def test_what_is_for_sets_is_not_ignored_elsewhere(folder):
    result = evaluate(folder, "--artifact", "x.onnx", "--only", "noise 25")
    assert isinstance(result.exception, UsageError)
    assert "--artifact, --only" in str(result.exception) and "--set" in result.exception.hint


@pytest.mark.parametrize("given", [["--task", "none"], ["--sigma", "5"], ["--side", "64"], ["--seed", "0"]])
def test_what_sets_decide_themselves_is_refused_with_one(folder, given):
    result = evaluate(folder, "--set", "kodak24", *given)
    assert isinstance(result.exception, UsageError), result.exception
    assert str(result.exception).startswith(f"{given[0]}: ")


def test_a_task_and_a_noise_are_not_both_taken(folder):
    result = evaluate(folder, "--task", "restoration", "--sigma", "25")
    assert isinstance(result.exception, UsageError), result.exception
    assert "--task: --sigma is the task" in str(result.exception)
