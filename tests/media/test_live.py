from __future__ import annotations

import threading

import numpy as np
import pytest

from poseact.media.live import newest
from poseact.media.pictures import Frame
from poseact.media.video import VideoReader


def test_no_camera_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="camera 97"):
        VideoReader("97")


def test_newest_drops_what_came_meanwhile() -> None:
    busy, sent = threading.Event(), threading.Event()

    def camera():
        for i in range(5):
            yield Frame(i, i / 10, np.zeros((1, 1, 3), np.uint8))
            if i == 0:
                busy.wait(5)
        sent.set()

    frames = newest(camera())
    assert next(frames).index == 0
    busy.set()
    sent.wait(5)
    assert [f.index for f in frames] == [4]


def test_newest_passes_the_error_on() -> None:
    def camera():
        yield Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8))
        raise ValueError("unplugged")

    with pytest.raises(ValueError, match="unplugged"):
        list(newest(camera()))
