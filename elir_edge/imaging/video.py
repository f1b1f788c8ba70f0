"""Video files by PyAV: frames as RGB arrays, and a new file of the same timing, colours and sound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from elir_edge.errors import DataError, MissingInputError, OutputError, UsageError, missing_package

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1", "ffv1": "ffv1"}
# What the containers can hold, the usual encoder first. FFmpeg's own lists name more: it writes no VP9 into .mov.
HELD = {
    "mp4": ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1"),
    "mov": ("libx264", "libx265"),
    "matroska": ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1"),
    "webm": ("libvpx-vp9", "libsvtav1"),
    "avi": ("libx264", "ffv1"),
}
TAKE_ODD_SIDES = ("libvpx-vp9", "ffv1")  # with subsampled chroma
UNSPECIFIED, BT709, BT601 = 2, 1, 5  # numbers of colour matrices in FFmpeg
HIGH_DEFINITION = 720
FULL_RANGE = 2
COLOUR = ("color_primaries", "color_trc", "colorspace", "color_range")
COPIED = ("audio", "subtitle")
DESCRIBED = ("language", "title")


def load_av() -> Any:
    """The package av. Raises UnavailableError where it is missing."""
    try:
        import av
    except ImportError as error:
        raise missing_package("av", "video") from error
    return av


class VideoCopy:
    """A video that is read frame by frame and written anew; sound and subtitles are copied as they are.

    ``frames()`` gives RGB arrays, uint8 H x W x 3 or, for more than 8 bits a channel, uint16; ``write`` takes them
    back in the same order. ``notes`` says what is not kept. The codec is the source's where there is an encoder for it
    and the container holds it, else H.264, in .webm VP9. A frame that is stated to be rotated is turned upright. To be
    used as a context manager.
    """

    def __init__(self, source: Path, target: BinaryIO, suffix: str, quality: int) -> None:
        """Raises MissingInputError, DataError for what holds no video, UsageError for an unknown suffix.

        Here and later: OutputError where the container cannot hold the video, its sound or its subtitles.
        """
        if suffix.lower() not in CONTAINERS:
            raise UsageError(f"cannot write '{suffix}' videos", hint=f"known: {', '.join(CONTAINERS)}")
        if not source.is_file():
            raise MissingInputError(f"{source}: no such video", hint="check the name")
        self._path, self._suffix, self._av = source, suffix.lower(), load_av()
        self._frames: deque[tuple[int | None, Any]] = deque()  # presentation times of the frames that are out
        with self._output_errors(), ExitStack() as stack:
            first = self._first_frame()
            self._input = stack.enter_context(self._open())
            self._video = self._input.streams.video[0]
            self._output = stack.enter_context(self._av.open(target, "w", format=CONTAINERS[self._suffix]))
            self._output.metadata.update(self._input.metadata)
            self._turns = first.rotation // 90 % 4
            self._encoder = self._add_encoder(first, quality)
            _describe(self._encoder, self._video)
            self._copies = {
                stream.index: _describe(self._output.add_stream_from_template(stream), stream)
                for stream in self._input.streams
                if stream.type in COPIED
            }
            alpha = any(component.is_alpha for component in first.format.components)
            self.notes = ("alpha is dropped: every pixel is opaque",) if alpha else ()
            self._stack = stack.pop_all()

    def frames(self) -> Iterator[np.ndarray]:
        """All frames in the order of showing. Raises DataError where the file is damaged."""
        try:
            for packet in self._input.demux():
                if packet.stream is self._video:
                    for frame in packet.decode():
                        self._frames.append((frame.pts, frame.time_base))
                        yield self._to_rgb(frame)
                elif packet.dts is not None and packet.stream.index in self._copies:
                    packet.stream = self._copies[packet.stream.index]
                    with self._output_errors():
                        self._output.mux(packet)
        except self._av.FFmpegError as error:
            raise DataError(
                f"{self._path}: damaged or cut short ({error})", hint="copy it again, or leave it out"
            ) from error

    def write(self, pixels: np.ndarray) -> None:
        """The next frame of ``frames()``, restored."""
        deep = pixels.dtype == np.uint16
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb48le" if deep else "rgb24")
        context = self._encoder.codec_context
        frame = frame.reformat(
            format=context.pix_fmt,
            src_color_range=FULL_RANGE,
            dst_colorspace=self._matrix,
            dst_color_range=self._range,
        )
        frame.pts, frame.time_base = self._frames.popleft()
        with self._output_errors():
            self._output.mux(self._encoder.encode(frame))

    def finish(self) -> None:
        """Write what the encoder holds back, and the end of the file."""
        with self._output_errors():
            self._output.mux(self._encoder.encode(None))
            self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _open(self) -> Any:
        try:
            opened = self._av.open(str(self._path))
        except (self._av.FFmpegError, OSError) as error:
            raise DataError(
                f"{self._path}: not a video of a known format, or damaged ({error})",
                hint="copy it again, or leave it out",
            ) from error
        if not opened.streams.video:
            opened.close()
            raise DataError(f"{self._path}: holds no video", hint="give a video file")
        return opened

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        """Turn what FFmpeg says about the new file into OutputError; errors of the system stay what they are."""
        try:
            yield
        except (self._av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            raise OutputError(
                f"{self._path}: cannot be written as {self._suffix} ({error})",
                hint="write .mkv, which holds nearly every codec",
            ) from error

    def _first_frame(self) -> Any:
        with self._open() as peeked:
            try:
                return next(peeked.decode(video=0))
            except (StopIteration, self._av.FFmpegError) as error:
                raise DataError(
                    f"{self._path}: no frame of it can be decoded", hint="copy it again, or leave it out"
                ) from error

    def _add_encoder(self, first: Any, quality: int) -> Any:
        """The video stream of the output, like the source's: size, pixel format, time base, colours."""
        sides = (first.width, first.height)
        odd = any(side % 2 for side in sides)
        name = self._encoder_name(odd, first.format.components[0].bits > 8)
        encoder = self._output.add_stream(name, rate=self._video.average_rate)
        encoder.width, encoder.height = reversed(sides) if self._turns % 2 else sides
        known = [known.name for known in encoder.codec_context.codec.video_formats or ()]
        encoder.pix_fmt = _pixel_format(first.format, known, whole_chroma=odd and name not in TAKE_ODD_SIDES)
        self._deep = encoder.codec_context.format.components[0].bits > 8
        self._set_times(encoder)
        self._set_shape(encoder.codec_context)
        for fact in COLOUR:
            setattr(encoder.codec_context, fact, int(getattr(first, fact)))
        self._range = int(first.color_range)
        usual = BT709 if first.height >= HIGH_DEFINITION else BT601
        self._matrix = usual if int(first.colorspace) in (0, UNSPECIFIED) else int(first.colorspace)
        if name != "ffv1":
            encoder.options = {"crf": str(crf_for(quality))}
        return encoder

    def _set_times(self, encoder: Any) -> None:
        """The source's time base. AVI has the frame rate in its place, and shows frames in the order of the file."""
        base, rate = self._video.time_base, self._video.average_rate
        if self._suffix == ".avi":
            encoder.codec_context.max_b_frames = 0
            base = 1 / rate if rate and rate == self._video.base_rate else base
        encoder.time_base = encoder.codec_context.time_base = base

    def _set_shape(self, context: Any) -> None:
        """Of pixels that are no squares: width by height, turned as the frames are."""
        aspect = self._video.sample_aspect_ratio
        if aspect:
            context.sample_aspect_ratio = 1 / aspect if self._turns % 2 else aspect

    def _encoder_name(self, odd: bool, deep: bool) -> str:
        """The encoder of the source's codec, or the first one of the container that takes its sides and its bits."""
        context, held = self._video.codec_context, HELD[CONTAINERS[self._suffix]]
        own = ENCODERS.get(context.codec.canonical_name, ENCODERS.get(context.name, ""))
        able = [name for name in held if not (odd and name == "libsvtav1") and (not deep or self._takes_ten_bits(name))]
        if not able:
            raise OutputError(
                f"{self._path}: its colours have more than 8 bits, which no encoder for {self._suffix} takes here",
                hint="write .mkv",
            )
        return own if own in able else able[0]

    def _takes_ten_bits(self, name: str) -> bool:
        formats = self._av.codec.Codec(name, "w").video_formats or ()
        return any(known.components[0].bits > 8 for known in formats)

    def _to_rgb(self, frame: Any) -> np.ndarray:
        converted = frame.reformat(
            format="rgb48le" if self._deep else "rgb24",
            src_colorspace=self._matrix,
            src_color_range=self._range,
            dst_color_range=FULL_RANGE,
        )
        pixels: np.ndarray = converted.to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, self._turns)) if self._turns else pixels


def _describe(stream: Any, source: Any) -> Any:
    """``stream`` with what the streams of a file are told apart by: language, title, which one is the default."""
    stream.metadata.update({key: source.metadata[key] for key in DESCRIBED if key in source.metadata})
    stream.disposition = source.disposition
    return stream


def _pixel_format(given: Any, known: list[str], whole_chroma: bool) -> str:
    """The source's pixel format where the encoder knows it, else a usual one of its bits."""
    usual = ["yuv420p10le"] if given.components[0].bits > 8 else []
    wanted = [given.name.replace("yuvj", "yuv"), *(usual or ["yuv420p"])]
    if whole_chroma:
        wanted = [name.replace("420", "444").replace("422", "444") for name in wanted]
    return next(name for name in wanted if name in known)


def crf_for(quality: int) -> int:
    """The constant rate factor of an encoder for ``quality`` 1 to 100: 12 at 100, 18 at 95, at most 51."""
    return min(51, round(12 + 1.2 * (100 - quality)))
