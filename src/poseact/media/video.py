"""Video in and out, with PyAV: no other file knows it.

Frames are uint8 RGB (H, W, 3), upright: the orientation a camera wrote into the file is applied.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from poseact.core.files import Unfinished
from poseact.media.live import UNKNOWN_FPS, camera_index, is_live, open_camera
from poseact.media.pictures import IMAGE_SUFFIXES, Broken, Frame

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"),
    *(".mts", ".m2ts", ".3gp", ".ogv", ".gif", ".apng"),
)
PATIENCE_S = 15.0
"""So long a stream may say nothing before it is taken for broken."""
_TICKS = 90_000  # per second, the time base of the files we write


# ----------------------------------------------------------------------------------------- reading


class VideoReader:
    """Frames of a video file, URL or camera, read once from front to back.

    source: a path, a URL (http, https, rtsp, rtmp, srt), or a camera index (an int, or its digits).
    The first frame is decoded at once, so that a bad file fails here: FileNotFoundError, or
    ValueError that names the file. What breaks later gives all frames that can be decoded, with
    gaps in `Frame.index` for those that cannot, and then `Broken` says how many were lost.
    `time_s` rises strictly and is finite. A local file opens no other file and no network.

    fps: frames per second (25 where the source does not say). size: (width, height) px, upright.
    frame_count: an estimate, and duration_s: seconds; None where unknown. live: a camera or stream
    that does not wait for us (see `newest`).

    One thread at a time takes frames; `close` may be called by another, and then the thread that
    decodes lets the source go when it comes out of the decoder.

    >>> with VideoReader("clip.mp4") as video:           # doctest: +SKIP
    ...     for frame in video:
    ...         print(frame.index, frame.time_s, frame.rgb.shape)
    """

    def __init__(self, source: str | Path | int) -> None:
        self.name = str(source)
        self._stack = contextlib.ExitStack()
        self._busy, self._closed = threading.Lock(), False
        with self._stack:  # closes what was opened if anything below raises
            camera = camera_index(source)
            if camera is None:
                opened = _open_video(self.name, self._stack)
            else:
                opened = _Opened(*open_camera(camera, self._stack), live=True)
            frames, self.fps, self.frame_count, self.duration_s, self.live = opened
            first = next(frames, None)
            if first is None:
                raise ValueError(f"{self.name}: no frame in this video")
            self.size = (first.rgb.shape[1], first.rgb.shape[0])
            self._frames = itertools.chain([first], frames)
            self._stack = self._stack.pop_all()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        with self._busy:
            frame = None if self._closed else next(self._frames, None)
            if self._closed:  # while this thread was in the decoder
                self._let_go()
        if frame is None:
            raise StopIteration
        return frame

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file or camera go; at once, or as soon as the decoder has come back."""
        self._closed = True
        if self._busy.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._busy.release()

    def _let_go(self) -> None:
        self._frames = iter(())
        self._stack.close()


class _Opened(NamedTuple):
    frames: Iterator[Frame]
    fps: float
    count: int | None = None
    duration_s: float | None = None
    live: bool = False


_SCHEMES = ("http", "https", "rtsp", "rtmp", "srt")
_CONTAINERS = (
    *("mov", "mp4", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo", "m4v", "h264"),
    *("hevc", "av1", "obu", "ivf", "asf", "flv", "ogg", "gif", "apng", "mjpeg", "mxf", "nut", "dv"),
    *("wav", "mp3", "aac", "flac"),  # which have no video, as they are told
)
"""Formats that hold their pictures themselves. Playlists and lists of files are none of them."""


def _options(name: str) -> dict[str, str]:
    """What a source may open, for FFmpeg: a file itself alone, a URL no file."""
    if "://" not in name:
        return {"protocol_whitelist": "file", "format_whitelist": ",".join(_CONTAINERS)}
    scheme = name.split("://")[0].lower()
    if scheme not in _SCHEMES:
        raise ValueError(
            f"{name}: a URL begins with {', '.join(_SCHEMES)}; of a file give the path"
        )
    options = {"protocol_whitelist": "http,https,tls,tcp,udp,rtp,rtsp,rtmp,srt,crypto"}
    return options | ({"rtsp_transport": "tcp"} if scheme == "rtsp" else {})


def _open_video(name: str, stack: contextlib.ExitStack) -> _Opened:
    import av

    options, is_url = _options(name), "://" in name
    if not is_url and not Path(name).exists():
        raise FileNotFoundError(f"{name}: no such video")
    if not is_url and Path(name).is_dir():
        raise ValueError(f"{name}: is a folder; give one of its videos")
    try:
        place = name if is_url else f"file:{name}"  # a name may have a colon
        container = av.open(
            place, options=options, timeout=(PATIENCE_S, PATIENCE_S) if is_url else None
        )
    except (av.FFmpegError, UnicodeError) as error:
        if Path(name).suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(f"{name}: a picture, not a video") from None
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
    live = is_live(name) or (is_url and duration_s is None)  # a camera by HTTP has no end
    return _Opened(_video_frames(container, stream, name, fps), fps, count, duration_s, live)


def _is_cover(stream: VideoStream) -> bool:
    """The cover picture of a music file is a video stream of one frame."""
    return bool(int(stream.disposition) & 0x0400)  # AV_DISPOSITION_ATTACHED_PIC


def _kinds(container: InputContainer) -> str:
    kinds = {"a cover picture" if s.type == "video" else s.type for s in container.streams}
    return ", ".join(sorted(kinds)) or "nothing"


def _video_frames(
    container: InputContainer, stream: VideoStream, name: str, fps: float
) -> Iterator[Frame]:
    damage = _Damage()
    wide = _pixel_width(stream)
    zero, last, count = None, -1.0, 0
    for count, frame in enumerate(_decoded(container, stream, damage), 1):
        index = count - 1 + damage.lost
        time = frame.time
        if time is not None and math.isfinite(time):
            zero = time if zero is None else zero
            time_s = time - zero
        else:
            time_s = index / fps
        if time_s <= last:
            time_s = last + 1 / fps
        last = time_s
        rgb = frame.to_ndarray(format="rgb24", width=round(frame.width * wide))
        turns = round(frame.rotation / 90) % 4  # counter-clockwise, as np.rot90
        yield Frame(index, time_s, np.ascontiguousarray(np.rot90(rgb, turns)))
    if damage.ended:
        raise Broken(f"{name}: broken after {count} frames ({damage.ended}){damage.also()}")
    if damage.lost:
        raise Broken(f"{name}: {damage.lost} frames are damaged, {count} could be read")


def _pixel_width(stream: VideoStream) -> float:
    """Width over height of a pixel, which is 1 in most videos."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 0.1 < ratio < 10 else 1.0


@dataclass
class _Damage:
    """What was found while decoding: frames that were lost, and why it ended early, if it did."""

    lost: int = 0
    ended: str = ""

    def also(self) -> str:
        return f", {self.lost} more are damaged" if self.lost else ""


def _decoded(
    container: InputContainer, stream: VideoStream, damage: _Damage
) -> Iterator[av.VideoFrame]:
    """The stream's frames as far as they go, past those that are damaged."""
    import av

    packets, cut = 0, False
    try:
        for packet in container.demux(stream):
            if packet.size:
                cut = packet.is_corrupt  # on a line one is lost now and then; at the end: truncated
                packets += not cut
            if packet.is_corrupt:
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                damage.lost += 1
                continue
            yield from frames
    except av.FFmpegError as error:
        damage.ended = error.strerror or str(error)
        with contextlib.suppress(av.FFmpegError):
            yield from stream.codec_context.decode(None)  # what the decoder still holds
        return
    if cut or packets < len(getattr(stream, "index_entries", ())):  # older PyAV has none
        damage.ended = "the file is truncated"


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
        if not math.isfinite(time_s):
            raise ValueError(f"{self.path}: the time of a frame is {time_s} s")
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
        with self._named():
            self._container.mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of FFmpeg, such as a full disk, name the file that was to be."""
        import av

        try:
            yield
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def close(self) -> None:
        """Finish the file and give it its name. ValueError if no frame was written."""
        try:
            if self._last_tick < 0:
                raise ValueError(f"{self.path}: no frame was written")
            with self._named():
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
