"""Judging a set: conditions, methods, the table, and the peers that need no file."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from elir_edge.cli import judge as command_of_sets
from elir_edge.cli.evaluate import command
from elir_edge.core.files import sha256_of
from elir_edge.errors import DataError, MissingInputError, UsageError
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.training import judge
from elir_edge.training.conditions import all_conditions, gaussian
from elir_edge.training.judge import judge_methods, load_set, methods_for, table_of
from elir_edge.training.peers import FFDNet, ffdnet, find_peer
from tests.helpers import refusal

SIDE = 64


@pytest.fixture
def own_set(tmp_path, monkeypatch):
    """A set of two pictures beside the known ones, and the folder that holds them."""
    folder, sets = tmp_path / "pictures", tmp_path / "package" / "sets"
    folder.mkdir()
    sets.mkdir(parents=True)
    lines = ["name: two", "about: two photographs", "pictures:"]
    for name in ("chelsea", "coffee"):
        Image.fromarray(fit_picture(builtin_photograph(name), SIDE, SIDE)).save(folder / f"{name}.png")
        lines.append(f"- {{file: {name}.png, sha256: {sha256_of(folder / f'{name}.png')}}}")
    (sets / "two.yaml").write_text("\n".join(lines))
    monkeypatch.setattr(judge.resources, "files", lambda package: tmp_path / "package")
    return folder


@pytest.fixture
def tiny(tmp_path) -> str:
    """The path of a specification that is quick to judge."""
    spec = tmp_path / "tiny.yaml"
    spec.write_text(
        "{name: tiny, size: 32, steps: 0, sigma_s: 0, autoencoder: {kind: shuffle, levels: 1}, field: null,"
        " estimator: {kind: residual, widths: [4], blocks: [1]}, weights: 'random:0'}"
    )
    return str(spec)


def test_a_set_is_read_in_its_order_and_other_pictures_are_refused(own_set):
    assert list(load_set("two", own_set)) == ["chelsea.png", "coffee.png"]
    refusal(UsageError, lambda: load_set("twoo", own_set), "did you mean 'two'?")
    refusal(UsageError, lambda: load_set("two", None), "does not come with the package", "chelsea.png")
    (own_set / "coffee.png").write_bytes((own_set / "chelsea.png").read_bytes())
    refusal(DataError, lambda: load_set("two", own_set), "coffee.png", "sha256 differs")
    (own_set / "coffee.png").unlink()
    refusal(MissingInputError, lambda: load_set("two", own_set), "coffee.png")


def test_every_condition_harms_but_the_one_without_noise(own_set):
    pictures = load_set("two", own_set)
    verdicts = judge_methods(pictures, all_conditions(), {"nothing": lambda degraded, sigma: degraded})
    for verdict in verdicts:
        assert verdict.qualities["nothing"].psnr == verdict.qualities["input"].psnr
        assert (verdict.qualities["input"].psnr > 100) == (verdict.condition == "noise 0")
        assert len(verdict.psnr["nothing"]) == 2
    by_name = {verdict.condition: verdict.qualities["input"].psnr for verdict in verdicts}
    assert by_name["noise 5"] > by_name["noise 15"] > by_name["noise 25"] > by_name["noise 50"]
    assert by_name["camera, weak"] > by_name["camera, medium"] > by_name["camera, strong"]


def test_unclipped_noise_leaves_the_range_and_is_told(own_set):
    told = []

    def method(degraded, sigma):
        told.append((degraded.dtype, sigma, degraded.min() < 0))
        return degraded

    judge_methods(load_set("two", own_set), [gaussian(50, clipped=False)], {"watch": method})
    assert told == [(np.dtype(np.float32), 50, True)] * 2


def test_what_takes_bytes_is_not_asked_about_unclipped_noise(own_set):
    """Its cells repeated those of clipped noise."""
    asked = []

    def method(degraded, sigma):
        asked.append(degraded.dtype)
        return degraded

    conditions = [gaussian(50, clipped=False), gaussian(50)]
    verdicts = judge_methods(load_set("two", own_set), conditions, {"a": method, "b": method}, of_bytes={"b"})
    assert asked.count(np.uint8) == 4 and asked.count(np.float32) == 2
    assert verdicts[0].qualities["b"] is None and verdicts[0].psnr["b"] == []
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table_of(verdicts).splitlines()]
    assert rows[0] == ["", "input", "a", "b"]
    assert rows[2][3] == "-" and rows[3][3] == rows[3][2]
    assert list(methods_for(conditions[0], {"a": method, "b": method}, {"b"})) == ["a"]


def test_non_local_means_gains_and_the_table_has_a_row_for_each_condition(own_set):
    name, denoise = find_peer("nlm")
    verdicts = judge_methods(load_set("two", own_set), [gaussian(25), gaussian(50)], {name: denoise})
    assert all(verdict.qualities[name].psnr > verdict.qualities["input"].psnr + 3 for verdict in verdicts)
    lines = table_of(verdicts).splitlines()
    assert lines[0] == "| | input | non-local means |"
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["noise 25", "noise 50"]


def test_ffdnet_reads_its_published_names_and_takes_odd_sizes(tmp_path):
    torch.manual_seed(0)
    network = FFDNet().eval()
    state = {k: v for k, v in network.layers.state_dict().items() if "num_batches" not in k}  # PyTorch 0.4 had none
    torch.save({f"itermediate_dncnn.{k}": v for k, v in state.items()}, tmp_path / "f.pth")
    picture = np.random.default_rng(0).integers(0, 256, (21, 33, 3), dtype=np.uint8)
    restored = ffdnet(tmp_path / "f.pth")(picture, 15.0)
    values = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32)) / 255
    with torch.inference_mode():
        direct = network(values, 15.0 / 255)[0].permute(1, 2, 0).numpy() * 255
    assert restored.shape == picture.shape
    assert np.allclose(restored, direct, atol=1e-3)
    refusal(MissingInputError, lambda: find_peer("ffdnet=none.pth"), "none.pth")
    torch.save({"other": torch.zeros(2)}, tmp_path / "g.pth")
    refusal(DataError, lambda: find_peer(f"ffdnet={tmp_path / 'g.pth'}"), "g.pth", "other", "FFDNet in colour")
    (tmp_path / "h.pth").write_text("no checkpoint")
    refusal(DataError, lambda: find_peer(f"ffdnet={tmp_path / 'h.pth'}"), "h.pth")
    refusal(UsageError, lambda: find_peer("nml"), "did you mean 'nlm'?")


def test_the_command_line_judges_and_writes_the_table_and_the_sheet(own_set, tiny, tmp_path):
    arguments = ["-p", tiny, "--set", "two", "--pictures", str(own_set), "--only", "noise 25", "--peer", "nlm"]
    places = ["--table", str(tmp_path / "t.md"), "-o", str(tmp_path / "sheet.png")]
    outcome = CliRunner().invoke(command, [*arguments, *places, "--json"])
    assert outcome.exit_code == 0, outcome.exception
    told = json.loads(outcome.stdout)
    assert [row["condition"] for row in told["conditions"]] == ["noise 25", "noise 25, unclipped"]
    assert (tmp_path / "t.md").read_text().startswith("| | input | tiny | non-local means |")
    assert Image.open(tmp_path / "sheet.png").size[0] > 4 * SIDE
    assert isinstance(CliRunner().invoke(command, [*arguments[:6], "--only", "nose"]).exception, UsageError)


def test_artifacts_of_one_name_are_told_apart_and_nothing_is_judged_twice(own_set, tiny, monkeypatch):
    """The last of one name took the place of the others."""
    monkeypatch.setattr(command_of_sets, "_artifact", lambda path, stack: lambda degraded, sigma: degraded)
    arguments = ["-p", tiny, "--set", "two", "--pictures", str(own_set), "--only", "noise 25", "--json"]
    several = ["--artifact", "v1/a.onnx", "--artifact", "v2/a.onnx"]
    outcome = CliRunner().invoke(command, [*arguments, *several])
    assert outcome.exit_code == 0, outcome.exception
    clipped, unclipped = json.loads(outcome.stdout)["conditions"]
    assert list(clipped["psnr"]) == ["input", "tiny", "v1/a.onnx", "v2/a.onnx"]
    assert [name for name, quality in unclipped["qualities"].items() if quality is None] == ["v1/a.onnx", "v2/a.onnx"]
    twice = CliRunner().invoke(command, [*arguments, "--peer", "nlm", "--peer", "nlm"])
    assert isinstance(twice.exception, UsageError) and "non-local means" in str(twice.exception)
