"""What a video file says about its streams: shape of pixels, languages, which stream is the default, frame rate."""

from __future__ import annotations

from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

from elir_edge.core.progress import Silent
from elir_edge.runtime.settings import Settings
from elir_edge.runtime.video import restore_video
from tests.sessions import IdentitySession

av = pytest.importorskip("av")

FRAMES = 6


def write_clip(path, codec="libx264", pix_fmt="yuv420p", aspect=None, languages=()):
    """Six frames, ten a second, and a stream of sound for each language; the last one is the default."""
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=10)
        video.width, video.height, video.pix_fmt = 96, 64, pix_fmt
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        sounds = [out.add_stream("aac", rate=48000) for _ in languages]
        for sound, language in zip(sounds, languages, strict=True):
            sound.metadata["language"] = language
            sound.disposition = av.stream.Disposition(int(language == languages[-1]))
        for i in range(FRAMES):
            pixels = np.full((64, 96, 3), i * 40, np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(video.encode(None))
        for sound in sounds:
            samples = av.AudioFrame.from_ndarray(np.zeros((2, 14400), np.float32), format="fltp", layout="stereo")
            samples.sample_rate, samples.pts = 48000, 0
            out.mux(sound.encode(samples))
            out.mux(sound.encode(None))


class Notes(Silent):
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@contextmanager
def open_restored(source, target):
    """The restored video, open, and what was said."""
    notes = Notes()
    restore_video(source, target, [IdentitySession()], Settings(), notes)
    with av.open(str(target)) as video:
        yield video, notes.said


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.mov", "out.avi"])
def test_pixels_that_are_no_squares(target, tmp_path):
    write_clip(tmp_path / "in.mp4", aspect=Fraction(16, 11))
    with open_restored(tmp_path / "in.mp4", tmp_path / target) as (video, said):
        assert video.streams.video[0].sample_aspect_ratio == Fraction(16, 11)
        assert said == []


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
def test_languages_and_the_default_stream(target, tmp_path):
    write_clip(tmp_path / "in.mp4", languages=("deu", "fra"))
    with open_restored(tmp_path / "in.mp4", tmp_path / target) as (video, _):
        facts = [(stream.metadata["language"], int(stream.disposition)) for stream in video.streams.audio]
        assert facts == [("deu", 0), ("fra", 1)]


def test_alpha_is_dropped_with_a_word(tmp_path):
    write_clip(tmp_path / "in.mkv", codec="ffv1", pix_fmt="bgra")
    with open_restored(tmp_path / "in.mkv", tmp_path / "out.mkv") as (_, said):
        assert said == ["note: alpha is dropped: every pixel is opaque"]


def test_avi_keeps_the_rate_and_the_order(tmp_path):
    write_clip(tmp_path / "in.mp4")
    with open_restored(tmp_path / "in.mp4", tmp_path / "out.avi") as (video, _):
        assert video.streams.video[0].average_rate == 10
        frames = list(video.decode(video=0))
    times = [frame.pts * frame.time_base for frame in frames]
    assert np.allclose(np.diff([float(time) for time in times]), 0.1)
    levels = [frame.to_ndarray(format="rgb24").mean() for frame in frames]
    assert np.allclose(levels, [i * 40 for i in range(FRAMES)], atol=4)
