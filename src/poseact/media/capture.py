"""A live source for as long as somebody wants its frames: opened again when it breaks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from poseact.core.console import SILENT, Console
from poseact.media.pictures import Broken, Frame
from poseact.media.video import VideoReader

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
"""Before the first try to open a lost source again; doubled with each, up to the second."""


class Capture:
    """Frames of a camera or stream over all its connections, or of a file in a camera's place.

    source: as of `VideoReader`. as_camera: a file plays at its own rate, waits for nobody and ends.
    console: is told when the source is lost and found. reopen: what opens it.

    `time_s` goes on over breaks, and `index` too. fps, size: of the first connection. reconnects:
    how often it was opened again. What fails at the very start is raised: FileNotFoundError, or
    ValueError that names the source. One thread iterates; any may `close`.
    """

    def __init__(
        self,
        source: str | Path | int,
        *,
        as_camera: bool = False,
        console: Console = SILENT,
        reopen: Callable[[str | Path | int], VideoReader] = VideoReader,
    ) -> None:
        self.source, self._as_camera = source, as_camera
        self._console, self._reopen = console, reopen
        self._stop = threading.Event()
        self.reconnects = 0
        self._reader = reopen(source)
        self.fps, self.size = self._reader.fps, self._reader.size
        if not as_camera and not self._reader.live:
            self._reader.close()
            raise ValueError(f"{source}: is a file; --as-camera plays it as if it were a camera")

    def __iter__(self) -> Iterator[Frame]:
        start, offset_s, base, index, now_s = time.monotonic(), 0.0, 0, -1, -1.0
        while not self._stop.is_set():
            lost = f"{self.source}: ended"
            try:
                for frame in self._reader:
                    if self._as_camera:
                        self._stop.wait(max(start + frame.time_s - time.monotonic(), 0.0))
                    if self._stop.is_set():
                        return
                    index, now_s = base + frame.index, max(offset_s + frame.time_s, now_s + 1e-3)
                    yield Frame(index, now_s, frame.rgb)
            except Broken as error:
                if self._as_camera:
                    raise
                lost = str(error)
            finally:
                self._reader.close()
            if self._as_camera or not self._open_again(lost):
                return
            offset_s, base = time.monotonic() - start, index + 1

    def _open_again(self, lost: str) -> bool:
        """Try until the source is there or nobody waits for it any more."""
        wait_s = FIRST_WAIT_S
        self._console.warn(f"{lost}; waiting for it to come back")
        while not self._stop.wait(wait_s):
            try:
                self._reader = self._reopen(self.source)
            except (ValueError, OSError):
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            self.reconnects += 1
            self._console.warn(f"{self.source}: is back")
            return True
        return False

    def close(self) -> None:
        """Let the source go."""
        self._stop.set()
        self._reader.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
