"""A small picture, a small video and a camera for the tests of `media`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from poseact.media.pictures import Broken, Frame
from poseact.media.video import VideoWriter


def gradient(width: int = 40, height: int = 30) -> np.ndarray:
    """Red grows to the right, green downwards, so every orientation is told apart."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 60)], -1).astype(np.uint8)


def clip(path: Path, frames: int = 10, size: tuple[int, int] = (64, 48)) -> Path:
    with VideoWriter(path, fps=10, size=size) as video:
        for i in range(frames):
            video.write(np.full((size[1], size[0], 3), 20 * i, np.uint8))
    return path


class Camera:
    """Stands in for a `VideoReader` of a camera: so many frames, then it is broken."""

    live, fps = True, 25.0

    def __init__(self, frames: int, size: tuple[int, int] = (64, 48)) -> None:
        self._frames, self.size, self.closed = frames, size, False

    def __iter__(self) -> Iterator[Frame]:
        for i in range(self._frames):
            yield Frame(i, i / 25, np.full((*self.size[::-1], 3), i, np.uint8))
        raise Broken("the camera gave no more")

    def close(self) -> None:
        self.closed = True
