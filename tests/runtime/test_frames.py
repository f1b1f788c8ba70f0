"""Video files and frames on pipes: order, timing, colours and sound, compared by PyAV alone."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from elir_edge.errors import DataError, MissingInputError, OutputError, UsageError
from elir_edge.imaging.raw_frames import parse_raw_size
from elir_edge.runtime.frames import restore_raw_frames
from elir_edge.runtime.settings import Settings
from elir_edge.runtime.video import restore_video
from tests.helpers import refusal
from tests.sessions import IdentitySession

av = pytest.importorskip("av")

BT709, BT601, LIMITED, FULL = 1, 5, 1, 2
TIMES = (0, 33, 67, 100, 150, 220, 230, 300)  # ms: a variable rate
HEIGHT, WIDTH = 64, 96


def frame_of(i: int) -> np.ndarray:
    """Every frame says which one it is, by its colour and by where its square stands."""
    pixels = np.full((HEIGHT, WIDTH, 3), (i * 30, 128, 255 - i * 30), np.uint8)
    pixels[10:30, 10 + i * 5 : 30 + i * 5] = (200, 40, 60)
    return pixels


def write_clip(
    path: Path, colour_range=LIMITED, matrix=BT709, codec="libx264", pix_fmt="yuv420p", sound=True, less=0
) -> None:
    """A clip of ``HEIGHT`` x ``WIDTH`` pixels, ``less`` a side."""
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=30)
        video.width, video.height, video.pix_fmt = WIDTH - less, HEIGHT - less, pix_fmt
        video.options = {"crf": "8"}
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        context = video.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = colour_range, matrix, 1, 1
        audio = out.add_stream("aac" if path.suffix != ".webm" else "libopus", rate=48000) if sound else None
        for i, time in enumerate(TIMES):
            shown = np.ascontiguousarray(frame_of(i)[: HEIGHT - less, : WIDTH - less])
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=matrix, dst_color_range=colour_range)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if audio is not None:
            wave = np.sin(np.arange(14400) / 20).astype(np.float32)
            samples = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
            samples.sample_rate, samples.pts = 48000, 0
            out.mux(audio.encode(samples))
            out.mux(audio.encode(None))


def facts_of(path: Path):
    """Times, colour facts and RGB pixels of all frames; bytes and times of all packets of sound."""
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
        shown = [round(float(frame.pts * frame.time_base), 4) for frame in frames]
        colours = {(int(f.color_range), int(f.colorspace), int(f.color_primaries), int(f.color_trc)) for f in frames}
        pixels = [frame.to_ndarray(format="rgb24") for frame in frames]
        codec = video.streams.video[0].codec_context.name
    with av.open(str(path)) as video:
        packets = video.demux(audio=0) if video.streams.audio else []
        sound = [(round(float(p.pts * p.time_base), 4), bytes(p)) for p in packets if p.pts is not None]
    return shown, colours, pixels, sound, codec


@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [BT709, BT601])
def test_order_timing_colours_and_sound_are_kept(colour_range, matrix, tmp_path):
    write_clip(tmp_path / "in.mp4", colour_range, matrix)
    told = restore_video(tmp_path / "in.mp4", tmp_path / "out.mp4", [IdentitySession()] * 1, Settings(quality=100))
    before, after = facts_of(tmp_path / "in.mp4"), facts_of(tmp_path / "out.mp4")
    assert after[0] == before[0] == [time / 1000 for time in TIMES]
    assert after[1] == before[1] and {facts[:2] for facts in after[1]} == {(colour_range, matrix)}
    assert after[3] == before[3] and len(after[3]) > 5
    assert after[4] == before[4] == "h264"
    for i, (one, other) in enumerate(zip(before[2], after[2], strict=True)):
        assert np.abs(one.astype(int) - other).mean() < 2.5, f"frame {i}"
        assert np.abs(other[0, 0].astype(int) - frame_of(i)[0, 0]).max() < 10, f"frame {i}"
    assert told.frames == len(TIMES) and told.per_second > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_other_containers_and_a_video_without_sound(tmp_path):
    write_clip(tmp_path / "in.mkv", sound=False)
    restore_video(tmp_path / "in.mkv", tmp_path / "out.mkv", [IdentitySession()], Settings())
    before, after = facts_of(tmp_path / "in.mkv"), facts_of(tmp_path / "out.mkv")
    assert (after[0], after[3]) == (before[0], [])


@pytest.mark.parametrize("target", ["out.mp4", "out.webm", "out.mkv", "out.mov", "out.avi"])
def test_ten_bits_stay_ten(target, tmp_path):
    write_clip(tmp_path / "in.mp4", pix_fmt="yuv420p10le", sound=False)
    restore_video(tmp_path / "in.mp4", tmp_path / target, [IdentitySession()], Settings())
    with av.open(str(tmp_path / target)) as out:
        assert next(out.decode(video=0)).format.name == "yuv420p10le"


def test_ten_bits_that_no_encoder_of_the_container_takes_are_told(tmp_path):
    """Of odd sides, for which SVT-AV1 is no way out."""
    write_clip(tmp_path / "in.mkv", codec="libx265", pix_fmt="yuv444p10le", sound=False, less=1)
    refusal(
        OutputError,
        lambda: restore_video(tmp_path / "in.mkv", tmp_path / "out.webm", [IdentitySession()], Settings()),
        "in.mkv", "more than 8 bits", ".mkv",
    )  # fmt: skip


@pytest.mark.parametrize("source, codec, pix_fmt, target, expected", [
    ("in.webm", "libvpx", "yuv420p", "out.webm", "vp9"),
    ("in.mp4", "libx264", "yuv420p", "out.webm", "vp9"),
    ("in.webm", "libvpx-vp9", "yuv420p", "out.mov", "h264"),
    ("in.webm", "libvpx-vp9", "yuv420p", "out.webm", "vp9"),
    ("in.mp4", "libx265", "yuv420p", "out.avi", "h264"),
    ("in.avi", "mjpeg", "yuvj420p", "out.avi", "h264"),
    ("in.mkv", "ffv1", "yuv444p", "out.mkv", "ffv1"),
])  # fmt: skip
@pytest.mark.parametrize("less", [0, 1])
def test_any_codec_goes_into_any_container(less, source, codec, pix_fmt, target, expected, tmp_path):
    """The codec stays where the container holds it; H.264 takes odd sides with whole chroma only."""
    if less and codec in ("libx264", "libx265"):
        pix_fmt = "yuv444p"
    write_clip(tmp_path / source, codec=codec, pix_fmt=pix_fmt, sound=False, less=less)
    restore_video(tmp_path / source, tmp_path / target, [IdentitySession()], Settings(quality=100))
    before, after = facts_of(tmp_path / source), facts_of(tmp_path / target)
    assert (len(after[2]), after[4].removeprefix("lib")) == (len(TIMES), expected)
    for one, other in zip(before[2], after[2], strict=True):
        assert other.shape == (HEIGHT - less, WIDTH - less, 3)
        assert np.abs(one.astype(int) - other).mean() < 3


def test_sound_that_a_container_cannot_hold_is_told(tmp_path):
    write_clip(tmp_path / "in.mp4")  # with AAC
    refusal(
        OutputError,
        lambda: restore_video(tmp_path / "in.mp4", tmp_path / "out.webm", [IdentitySession()], Settings()),
        "in.mp4", ".webm", ".mkv",
    )  # fmt: skip
    assert not (tmp_path / "out.webm").exists()


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("no video" * 100)
    write_clip(tmp_path / "in.mp4", sound=False)
    whole = (tmp_path / "in.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    before = sorted(path.name for path in tmp_path.iterdir())

    def restore(name, target="out.mp4"):
        return lambda: restore_video(tmp_path / name, tmp_path / target, [IdentitySession()], Settings())

    refusal(DataError, restore("text.mp4"), "text.mp4", "not a video")
    refusal(DataError, restore("cut.mp4"), "cut.mp4")
    refusal(MissingInputError, restore("no.mp4"), "no.mp4")
    refusal(UsageError, restore("in.mp4", "out.gif"), ".gif", ".mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_artifact_that_fails_fails_the_video(tmp_path):
    write_clip(tmp_path / "in.mp4")
    nan = IdentitySession(function=lambda image: np.full_like(image, np.nan))
    refusal(DataError, lambda: restore_video(tmp_path / "in.mp4", tmp_path / "o.mp4", [nan], Settings()), "NaN")
    assert not (tmp_path / "o.mp4").exists()


# ---- frames without a header ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_raw_frames_in_and_out(jobs):
    data = b"".join(frame_of(i).tobytes() for i in range(5))
    target = io.BytesIO()
    sessions = [IdentitySession() for _ in range(jobs)]
    told = restore_raw_frames(io.BytesIO(data), target, (HEIGHT, WIDTH), sessions, Settings())
    assert target.getvalue() == data
    assert told.frames == 5


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_stream_that_ends_inside_a_frame_gives_the_whole_ones(jobs):
    target = io.BytesIO()
    whole = b"".join(frame_of(i).tobytes() for i in range(7))
    data, sessions = whole + b"rest", [IdentitySession() for _ in range(jobs)]
    refusal(
        DataError,
        lambda: restore_raw_frames(io.BytesIO(data), target, (HEIGHT, WIDTH), sessions, Settings()),
        "4 of the 18432 bytes",
    )
    assert target.getvalue() == whole


@pytest.mark.parametrize("text", ["", "640", "640x", "x480", "0x4", "axb", "640x480x3"])
def test_sizes_that_are_none(text):
    refusal(UsageError, lambda: parse_raw_size(text), "WIDTHxHEIGHT")
