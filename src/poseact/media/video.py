"""Video in and out, with PyAV: no other file knows it.

Frames are uint8 RGB (H, W, 3), upright: the orientation a camera wrote into the file is applied.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from poseact.core.files import Unfinished
from poseact.media.live import UNKNOWN_FPS, camera_index, is_live, open_camera
from poseact.media.pictures import Frame

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"),
    *(".mts", ".m2ts", ".3gp", ".ogv", ".gif"),
)
_TICKS = 90_000  # per second, the time base of the files we write


# ----------------------------------------------------------------------------------------- reading


class VideoReader:
    """Frames of a video file, URL or camera, read once from front to back.

    source: a path, a URL, or a camera index (an int, or its digits). The first frame is decoded at
    once, so that a bad file fails here: FileNotFoundError, or ValueError that names the file. A
    file that breaks in the middle gives its good frames and then ValueError says how many.
    `time_s` rises strictly.

    fps: frames per second (25 where the source does not say). size: (width, height) px, upright.
    frame_count: an estimate, and duration_s: seconds; None where unknown. live: a camera or stream
    that does not wait for us (see `newest`).

    >>> with VideoReader("clip.mp4") as video:           # doctest: +SKIP
    ...     for frame in video:
    ...         print(frame.index, frame.time_s, frame.rgb.shape)
    """

    def __init__(self, source: str | Path | int) -> None:
        self.name = str(source)
        self._stack = contextlib.ExitStack()
        with self._stack:  # closes what was opened if anything below raises
            camera = camera_index(source)
            if camera is None:
                opened = _open_video(self.name, self._stack)
            else:
                opened = _Opened(*open_camera(camera, self._stack))
            frames, self.fps, self.frame_count, self.duration_s = opened
            self.live = is_live(source)
            first = next(frames, None)
            if first is None:
                raise ValueError(f"{self.name}: no frame in this video")
            self.size = (first.rgb.shape[1], first.rgb.shape[0])
            self._frames = itertools.chain([first], frames)
            self._stack = self._stack.pop_all()

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file or camera go."""
        self._frames = iter(())
        self._stack.close()


class _Opened(NamedTuple):
    frames: Iterator[Frame]
    fps: float
    count: int | None = None
    duration_s: float | None = None


def _open_video(name: str, stack: contextlib.ExitStack) -> _Opened:
    import av

    is_url = "://" in name
    if not is_url and not Path(name).exists():
        raise FileNotFoundError(f"{name}: no such video")
    if Path(name).is_dir():
        raise ValueError(f"{name}: is a folder; give one of its videos")
    options = {"rtsp_transport": "tcp"} if name.lower().startswith("rtsp:") else {}
    try:
        container = av.open(name, options=options, timeout=(15, 15) if is_url else None)
    except (av.FFmpegError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{name}: not a video, or a damaged one ({reason})") from None
    stack.callback(container.close)
    streams = [s for s in container.streams.video if not _is_cover(s)]
    if not streams:
        raise ValueError(f"{name}: no video in this file, only {_kinds(container)}; is it whole?")
    stream = streams[0]
    if stream.codec_context is None:
        raise ValueError(f"{name}: its pictures are coded in a way that this FFmpeg does not know")
    stream.thread_type = "AUTO"
    rate = stream.average_rate or stream.guessed_rate
    fps = float(rate) if rate else UNKNOWN_FPS
    duration_s = None
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / 1e6
    count = stream.frames or (round(duration_s * fps) if duration_s else None)
    return _Opened(_video_frames(container, stream, name, fps), fps, count, duration_s)


def _is_cover(stream: VideoStream) -> bool:
    """The cover picture of a music file is a video stream of one frame."""
    return bool(int(stream.disposition) & 0x0400)  # AV_DISPOSITION_ATTACHED_PIC


def _kinds(container: InputContainer) -> str:
    return ", ".join(sorted({s.type for s in container.streams})) or "nothing"


def _video_frames(
    container: InputContainer, stream: VideoStream, name: str, fps: float
) -> Iterator[Frame]:
    broken: list[str] = []
    zero, last, index = None, -1.0, -1
    for index, frame in enumerate(_decoded(container, stream, broken)):
        time = frame.time
        zero = time if zero is None else zero
        time_s = index / fps if time is None or zero is None else time - zero
        if time_s <= last:
            time_s = last + 1 / fps
        last = time_s
        rgb = frame.to_ndarray(format="rgb24")
        turns = round(frame.rotation / 90) % 4  # counter-clockwise, as np.rot90
        yield Frame(index, time_s, np.ascontiguousarray(np.rot90(rgb, turns)))
    if broken:
        raise ValueError(f"{name}: broken after {index + 1} frames ({broken[0]})")


def _decoded(
    container: InputContainer, stream: VideoStream, broken: list[str]
) -> Iterator[av.VideoFrame]:
    """The stream's frames as far as they go; why it ended early is put into `broken`."""
    import av

    packets, cut = 0, False
    try:
        for packet in container.demux(stream):
            if packet.size:
                cut = packet.is_corrupt  # on a line one is lost now and then; at the end: truncated
                packets += not cut
            if not packet.is_corrupt:
                yield from packet.decode()
    except av.FFmpegError as error:
        broken.append(error.strerror or str(error))
    if broken:
        with contextlib.suppress(av.FFmpegError):
            yield from stream.codec_context.decode(None)  # what the decoder still holds
    elif cut or packets < len(getattr(stream, "index_entries", ())):  # older PyAV has none
        broken.append("the file is truncated")


# ----------------------------------------------------------------------------------------- writing


class VideoWriter:
    """H.264 mp4 that every player and browser opens (yuv420p, index in front).

    fps: frames per second. size: (width, height) px; an odd side is padded by one pixel. The file
    appears when the `with` block ends; after an exception nothing is left.

    >>> with VideoWriter("out.mp4", fps=25, size=(640, 480)) as video:   # doctest: +SKIP
    ...     video.write(rgb)
    """

    def __init__(self, path: str | Path, *, fps: float, size: tuple[int, int]) -> None:
        import av

        self.path = Path(path)
        if self.path.suffix.lower() not in (".mp4", ".m4v", ".mov"):
            raise ValueError(f"{path}: videos are written as .mp4, got {self.path.suffix!r}")
        if not fps > 0 or min(size) < 1:
            raise ValueError(f"{path}: needs fps > 0 and a size, got fps {fps}, size {size}")
        self.size = size
        self._step_s = 1.0 / fps
        self._next_s, self._last_tick = 0.0, -1
        self._file = Unfinished(self.path)
        self._container = av.open(
            str(self._file.part), "w", format="mp4", options={"movflags": "+faststart"}
        )
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height = (side + side % 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream.codec_context.options = {
            "crf": "23",
            "preset": "veryfast",
            "x264-params": "mbtree=0",  # with it, one input gives now this file and now that
        }
        self._stream.codec_context.colorspace = 1  # BT.709, said and used
        self._stream.codec_context.color_primaries = 1
        self._stream.codec_context.color_trc = 1

    def write(self, rgb: np.ndarray, *, time_s: float | None = None) -> None:
        """Append uint8 RGB (H, W, 3), shown at time_s, or 1 / fps after the last.

        Raises ValueError if the size is not the writer's or time does not rise.
        """
        import av

        width, height = self.size
        if rgb.shape != (height, width, 3) or rgb.dtype != np.uint8:
            raise ValueError(
                f"{self.path}: frames are uint8 {(height, width, 3)}, got {rgb.dtype} {rgb.shape}"
            )
        time_s = self._next_s if time_s is None else time_s
        tick = round(time_s * _TICKS)
        if tick <= self._last_tick:
            raise ValueError(f"{self.path}: time must rise, got {time_s} s after a later frame")
        self._last_tick, self._next_s = tick, time_s + self._step_s
        if width % 2 or height % 2:
            edges = (0, height % 2, 0, width % 2)
            rgb = cv2.copyMakeBorder(rgb, *edges, borderType=cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = tick, Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file and give it its name. ValueError if no frame was written."""
        try:
            if self._last_tick < 0:
                raise ValueError(f"{self.path}: no frame was written")
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._file.finish()
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the unfinished file."""
        import av

        with contextlib.suppress(av.FFmpegError):
            self._container.close()
        self._file.drop()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close() if kind is None else self.abort()
