"""Cameras, and sources that do not wait for us."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2

from poseact.media.pictures import Broken, Frame

UNKNOWN_FPS = 25.0
"""Frames a second of sources that state no rate."""


def camera_index(source: str | Path | int) -> int | None:
    """The number of the camera that a source names; None for files and URLs."""
    if isinstance(source, int):
        return source
    text = str(source)
    return int(text) if text.isdecimal() and not Path(text).exists() else None


def is_live(source: str | Path | int) -> bool:
    """Whether a source does not wait for us: a camera, or a stream by RTSP, RTMP or SRT."""
    return camera_index(source) is not None or str(source).lower().startswith(
        ("rtsp:", "rtmp:", "srt:")
    )


def is_stream(source: str | Path | int) -> bool:
    """Whether a source is a URL or a camera rather than files."""
    return "://" in str(source) or camera_index(source) is not None


def open_camera(index: int, stack: ExitStack) -> tuple[Iterator[Frame], float]:
    """Its frames, and how many a second; the stack lets it go. ValueError if it cannot be opened.

    By OpenCV, since PyAV's wheels carry no camera drivers on some systems.
    """
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(index)
    finally:
        log.setLogLevel(level)
    stack.callback(capture.release)
    if not capture.isOpened():
        raise ValueError(f"camera {index}: cannot be opened; is it there, and free?")
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not the oldest
    fps = capture.get(cv2.CAP_PROP_FPS)
    return _camera_frames(capture), fps if 1 <= fps <= 1000 else UNKNOWN_FPS


def _camera_frames(capture: cv2.VideoCapture) -> Iterator[Frame]:
    start = cv2.getTickCount()
    for index in itertools.count():
        ok, bgr = capture.read()
        if not ok:
            raise Broken(f"the camera gave no more after {index} frames")
        time_s = (cv2.getTickCount() - start) / cv2.getTickFrequency()
        yield Frame(index, time_s, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


class Newest:
    """From a live source always the newest frame; those that came while we were busy are dropped.

    A dropped frame leaves a gap in `Frame.index`. An error of the source is raised here. One frame
    waits at most, whatever the source does. dropped: so many. arrived_s: when the frame that was
    given last came, by `time.monotonic`.

    >>> with Newest(camera) as frames:                   # doctest: +SKIP
    ...     for frame in frames:
    ...         print(frame.index, frames.dropped)
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.dropped, self.arrived_s = 0, 0.0
        self._waiting: tuple[Frame, float] | None = None
        self._ready, self._over = threading.Condition(), False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._pump, args=(frames,), daemon=True)
        self._thread.start()

    def _pump(self, frames: Iterable[Frame]) -> None:
        try:
            for frame in frames:
                with self._ready:
                    if self._over:
                        return
                    self.dropped += self._waiting is not None
                    self._waiting = frame, time.monotonic()
                    self._ready.notify()
        except Exception as error:
            self._error = error
        finally:
            with self._ready:
                self._over = True
                self._ready.notify()

    def __iter__(self) -> Newest:
        return self

    def __next__(self) -> Frame:
        with self._ready:
            self._ready.wait_for(lambda: self._waiting is not None or self._over)
            if self._waiting is not None:
                (frame, self.arrived_s), self._waiting = self._waiting, None
                return frame
        if self._error is not None:
            raise self._error
        raise StopIteration

    def __enter__(self) -> Newest:
        return self

    def __exit__(self, *_: object) -> None:
        with self._ready:
            self._over = True
        self._thread.join(timeout=5)


def newest(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames of `Newest`, which ends when this iterator is left."""
    with Newest(frames) as inbox:
        yield from inbox
