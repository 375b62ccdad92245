"""Pictures and video in and out. The only file that knows PyAV.

Frames are uint8 RGB (H, W, 3), upright: the orientation a camera wrote into the file is applied.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from poseact.core.files import Unfinished, write_bytes

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"),
    *(".mts", ".m2ts", ".3gp", ".ogv", ".gif"),
)
_UNKNOWN_FPS = 25.0  # streams that state no rate
_TICKS = 90_000  # per second, the time base of the files we write
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # not stuffing, fill or restart


@dataclass(frozen=True)
class Frame:
    """One picture of a video. time_s counts from the first frame; rgb: uint8 (H, W, 3)."""

    index: int
    time_s: float
    rgb: np.ndarray


@dataclass(frozen=True)
class Input:
    """A file to predict on."""

    path: Path
    kind: Literal["image", "video"]


# ---------------------------------------------------------------------------------------- pictures


def read_image(path: str | Path) -> np.ndarray:
    """A picture file as upright uint8 RGB (H, W, 3).

    EXIF orientation is applied, grey becomes RGB, 16 bit becomes 8, transparent becomes white.
    Raises FileNotFoundError, or ValueError that names the file: not a picture, or truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such picture")
    data = path.read_bytes()
    is_jpeg = data[:2] == b"\xff\xd8"
    if is_jpeg and not _jpeg_ends(data):  # some decoders fill the missing half with grey
        raise ValueError(f"{path}: truncated picture; copy or download it again")
    bgr = _decode_image(data, cv2.IMREAD_COLOR)
    if bgr is None:
        known = bool(data) and cv2.haveImageReader(str(path))
        why = "truncated or damaged picture" if known else "not a picture"
        raise ValueError(f"{path}: {why} ({len(data)} bytes)")
    if not is_jpeg:
        raw = _decode_image(data, cv2.IMREAD_UNCHANGED)
        if raw is not None and raw.ndim == 3 and raw.shape[2] == 4:
            bgr = _on_white(raw)
    if bgr.dtype != np.uint8:
        raise ValueError(f"{path}: pixels are {bgr.dtype}; convert it to 8 or 16 bit")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _jpeg_ends(data: bytes) -> bool:
    """Whether the first picture of a JPEG runs to its end marker (phones append data after it)."""
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        marker, after = data[found.end() - 1], found.end()
        if marker == 0xD9:
            return True
        at = after + int.from_bytes(data[after : after + 2], "big")  # over the segment
    return False


def _decode_image(data: bytes, flags: int) -> np.ndarray | None:
    log = cv2.utils.logging  # OpenCV would print what our error says better
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        log.setLogLevel(level)


def _on_white(bgra: np.ndarray) -> np.ndarray:
    full = np.iinfo(bgra.dtype).max if np.issubdtype(bgra.dtype, np.integer) else 1.0
    unit = bgra.astype(np.float32) / full
    alpha = unit[..., 3:]
    return np.rint((unit[..., :3] * alpha + 1 - alpha).clip(0, 1) * 255).astype(np.uint8)


def write_image(path: str | Path, rgb: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3); the suffix says the format. ValueError for a suffix unknown."""
    path = Path(path)
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if path.suffix.lower() in (".jpg", ".jpeg") else []
    try:
        _, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        raise ValueError(f"{path}: no picture format {path.suffix!r}; try .png or .jpg") from None
    write_bytes(path, data.tobytes())


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
            camera = _camera_index(source)
            opened = _open_video(self) if camera is None else _open_camera(self, camera)
            self.fps, self.frame_count, self.duration_s, frames = opened
            self.live = camera is not None or self.name.lower().startswith(("rtsp:", "rtmp:"))
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


_Opened = tuple[float, "int | None", "float | None", Iterator[Frame]]


def _camera_index(source: str | Path | int) -> int | None:
    if isinstance(source, int):
        return source
    text = str(source)
    return int(text) if text.isdecimal() and not Path(text).exists() else None


def _open_camera(reader: VideoReader, index: int) -> _Opened:
    # OpenCV's capture: PyAV's wheels carry no camera drivers on some systems.
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(index)
    finally:
        log.setLogLevel(level)
    reader._stack.callback(capture.release)
    if not capture.isOpened():
        raise ValueError(f"camera {index}: cannot be opened; is it there, and free?")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the oldest
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 1 <= fps <= 1000 else _UNKNOWN_FPS, None, None, _camera_frames(capture)


def _camera_frames(capture: cv2.VideoCapture) -> Iterator[Frame]:
    start = cv2.getTickCount()
    for index in itertools.count():
        ok, bgr = capture.read()
        if not ok:
            return
        time_s = (cv2.getTickCount() - start) / cv2.getTickFrequency()
        yield Frame(index, time_s, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def _open_video(reader: VideoReader) -> _Opened:
    import av

    name = reader.name
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
    reader._stack.callback(container.close)
    streams = [s for s in container.streams.video if not _is_cover(s)]
    if not streams:
        raise ValueError(f"{name}: no video in this file, only {_kinds(container)}; is it whole?")
    stream = streams[0]
    stream.thread_type = "AUTO"
    rate = stream.average_rate or stream.guessed_rate
    fps = float(rate) if rate else _UNKNOWN_FPS
    duration_s = None
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / 1e6
    count = stream.frames or (round(duration_s * fps) if duration_s else None)
    return fps, count, duration_s, _video_frames(container, stream, name, fps)


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


def newest(frames: Iterable[Frame]) -> Iterator[Frame]:
    """From a live source always the newest frame; those that came while we were busy are dropped.

    A dropped frame leaves a gap in `Frame.index`. An error of the source is raised here.
    """
    inbox: deque[Frame] = deque(maxlen=1)
    ready, stop, errors = threading.Condition(), threading.Event(), deque[Exception]()

    def pump() -> None:
        try:
            for frame in frames:
                with ready:
                    inbox.append(frame)
                    ready.notify()
                if stop.is_set():
                    return
        except Exception as error:
            errors.append(error)
        finally:
            with ready:
                stop.set()
                ready.notify()

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    try:
        while True:
            with ready:
                ready.wait_for(lambda: inbox or stop.is_set())
                if not inbox:
                    break
                frame = inbox.popleft()
            yield frame
        if errors:
            raise errors[0]
    finally:
        stop.set()
        thread.join(timeout=5)


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


# ------------------------------------------------------------------------------------------ inputs


def list_inputs(source: str | Path) -> list[Input]:
    """The pictures and videos that a path, a folder (not its subfolders) or a glob names, sorted.

    A single file of an unknown suffix is a picture if it starts like one, else a video. Raises
    FileNotFoundError if nothing is there, ValueError if a folder or glob holds neither.
    """
    path = Path(source)
    if path.is_file():
        return [Input(path, _kind(path) or _kind_inside(path))]
    if path.is_dir():
        files = [p for p in path.iterdir() if not p.name.startswith(".")]
    else:
        files = [Path(p) for p in glob.glob(str(source), recursive=True)]
        if not files:
            raise FileNotFoundError(f"{source}: no such file, folder or glob")
    inputs = [Input(p, kind) for p in sorted(files) if p.is_file() and (kind := _kind(p))]
    if not inputs:
        raise ValueError(f"{source}: no picture and no video among {len(files)} entries")
    return inputs


def _kind(path: Path) -> Literal["image", "video"] | None:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "image"
    return "video" if suffix in VIDEO_SUFFIXES else None


def _kind_inside(path: Path) -> Literal["image", "video"]:
    return "image" if cv2.haveImageReader(str(path)) else "video"
