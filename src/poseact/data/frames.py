"""Pictures behind a record: small picklable callables that read frame t when it is asked for."""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from poseact.core.types import Record
from poseact.media.pictures import read_image
from poseact.media.video import VideoReader

_OPEN_VIDEOS = 2  # per process; a record may be one of 100,000
_KEPT_BYTES = 64 << 20  # decoded frames that an open video keeps, for readers that go backwards


@dataclass(frozen=True)
class ImageFile:
    """A still: the same picture at every t. uint8 RGB (H, W, 3), upright.

    A call raises FileNotFoundError, or ValueError for a file that is not a whole picture.
    """

    path: Path

    def __call__(self, t: int) -> np.ndarray:
        return read_image(self.path)


@dataclass(frozen=True)
class ImageSequence:
    """Frame t is the picture paths[t]. uint8 RGB (H, W, 3), upright; errors as `ImageFile`."""

    paths: tuple[Path, ...]

    def __init__(self, paths: Sequence[Path]) -> None:
        object.__setattr__(self, "paths", tuple(paths))

    def __call__(self, t: int) -> np.ndarray:
        if not 0 <= t < len(self.paths):
            raise ValueError(f"there are {len(self.paths)} pictures, number {t} was asked for")
        return read_image(self.paths[t])


@dataclass(frozen=True)
class Numbered:
    """Frame t is the picture `folder/stem{numbers[t]}.jpg`, the number in `digits` digits.

    Long videos as single pictures: a number a frame instead of a path a frame. uint8 RGB (H, W, 3);
    raises FileNotFoundError, or ValueError for a file that is not a whole picture.
    """

    folder: Path
    stem: str
    numbers: np.ndarray
    digits: int

    def __call__(self, t: int) -> np.ndarray:
        return read_image(self.path(t))

    def path(self, t: int) -> Path:
        return self.folder / f"{self.stem}{self.numbers[t]:0{self.digits}d}.jpg"


def numbered(folder: Path, stem: str, numbers: np.ndarray, digits: int) -> Numbered:
    """The pictures of a sequence, in 5 or 6 digits if not in `digits`.

    Only the first and the last are looked for: there may be a million. FileNotFoundError says
    which is missing.
    """
    for width in (digits, 5, 6):
        pictures = Numbered(folder, stem, numbers.astype(np.int32), width)
        if pictures.path(0).is_file():
            break
    else:
        missing = Numbered(folder, stem, numbers, digits).path(0)
        raise FileNotFoundError(f"{missing}: no such picture; unpack the pictures there")
    last = pictures.path(len(numbers) - 1)
    if not last.is_file():
        raise FileNotFoundError(f"{last}: no such picture, though the first of its sequence is")
    return pictures


def split_stills(record: Record) -> list[Record]:
    """A record of numbered pictures (or of none) as one record a frame, T = 1."""
    pictures = record.frame
    if pictures is not None and not isinstance(pictures, Numbered):
        raise ValueError(f"only numbered pictures can be taken apart, got {type(pictures)}")

    def part(values: np.ndarray | None, t: int) -> np.ndarray | None:
        return None if values is None else values[t : t + 1]

    return [
        replace(
            record,
            frame=pictures and replace(pictures, numbers=pictures.numbers[t : t + 1]),
            xy=record.xy[t : t + 1],
            xyz=part(record.xyz, t),
            visible=part(record.visible, t),
            box=part(record.box, t),
        )
        for t in range(len(record))
    ]


@dataclass(frozen=True)
class VideoFile:
    """Frame t of a clip is frame start + t * step of a video. uint8 RGB (H, W, 3), upright.

    Random access by decoding forward, without seeking, so that an index always means the same
    frame; asking in rising order is quick, a step back beyond the last few frames starts again at
    the front. Each process keeps two videos open, whatever the number of records. A call raises
    FileNotFoundError, or ValueError if the video is damaged or too short.
    """

    path: Path
    step: int = 1
    start: int = 0

    def __post_init__(self) -> None:
        if self.step < 1 or self.start < 0:
            raise ValueError(
                f"{self.path}: step is at least 1 and start 0, got {self.step} and {self.start}"
            )

    def __call__(self, t: int) -> np.ndarray:
        if t < 0:
            raise ValueError(f"{self.path}: frames count from 0, got {t}")
        opened = _open_videos(os.getpid())
        decoder = opened.pop(self.path, None) or _Decoder(self.path)
        frame = decoder.read(self.start + t * self.step)
        opened[self.path] = decoder  # the newest is last
        while len(opened) > _OPEN_VIDEOS:
            opened.popitem(last=False)
        return frame


def count_frames(path: Path, *, exact: bool = True) -> int:
    """Frames in a video: by decoding it, or (exact=False) as far as its header says, in no time.

    A header may be wrong by some frames; where it says nothing the video is decoded. Raises
    FileNotFoundError, or ValueError for a damaged video.
    """
    with VideoReader(path) as video:
        if not exact and video.frame_count:
            return video.frame_count
        return sum(1 for _ in video)


class _Decoder:
    """One open video and the frames that it gave last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._rewind()

    def _rewind(self) -> None:
        self._reader = VideoReader(self.path)
        self._frames = iter(self._reader)
        self._next = 0
        width, height = self._reader.size
        self._kept: deque[np.ndarray] = deque(maxlen=max(1, _KEPT_BYTES // (3 * width * height)))

    def read(self, index: int) -> np.ndarray:
        with self._lock:
            if index < self._next - len(self._kept):
                self._reader.close()
                self._rewind()
            while self._next <= index:
                frame = next(self._frames, None)
                if frame is None:
                    raise ValueError(
                        f"{self.path} has {self._next} frames, number {index} was asked for; "
                        "is it the video that the annotation speaks of?"
                    )
                if frame.index != self._next:
                    raise ValueError(f"{self.path}: damaged at frame {self._next}")
                self._kept.append(frame.rgb)
                self._next += 1
            return self._kept[index - self._next].copy()


@cache
def _open_videos(process: int) -> OrderedDict[Path, _Decoder]:
    """The videos that a process holds open, the one used last at the end.

    A forked child has a dictionary of its own, and leaves its parent's alone: to close a video that
    the parent opened would wait for decoder threads that the child does not have.
    """
    opened: OrderedDict[Path, _Decoder] = OrderedDict()
    atexit.register(_clear, opened, process)  # decoders cannot be closed once modules are gone
    return opened


def _clear(opened: OrderedDict[Path, _Decoder], process: int) -> None:
    if os.getpid() == process:
        opened.clear()
