from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

import poseact.media.capture as capturing
from poseact.core.console import Silent
from poseact.media.capture import Capture
from poseact.media.live import Newest
from poseact.media.window import Window
from small_media import Camera, clip


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, line: str) -> None:
        self.lines.append(line)


def test_a_file_as_a_camera_waits_for_nobody(tmp_path: Path) -> None:
    begin, seen = time.monotonic(), []
    with Capture(clip(tmp_path / "a.mp4"), as_camera=True) as camera, Newest(camera) as frames:
        for frame in frames:  # ten frames in 0.9 s
            seen.append(frame.index)
            time.sleep(0.25)
            assert time.monotonic() - begin >= frame.time_s
    assert seen == sorted(set(seen)) and seen[0] == 0
    assert len(seen) + frames.dropped == 10 and frames.dropped >= 3


def test_a_file_is_no_camera_unless_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--as-camera"):
        Capture(clip(tmp_path / "a.mp4"))
    with pytest.raises(FileNotFoundError, match="nonesuch"):
        Capture(tmp_path / "nonesuch.mp4", as_camera=True)


def test_a_source_that_breaks_is_opened_again_and_time_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capturing, "FIRST_WAIT_S", 0.01)
    cameras = [Camera(3), Camera(4), Camera(2)]
    answers: list[Camera | None] = [cameras[0], None, None, cameras[1], cameras[2]]

    def reopen(_: object) -> Camera:
        camera = answers.pop(0)
        if camera is None:
            raise ValueError("not there")
        return camera

    told, seen = Told(), []
    with Capture(7, reopen=reopen, console=told) as source:  # type: ignore[arg-type]
        for frame in source:
            seen.append(frame)
            if len(seen) == 9:
                break
    assert [f.index for f in seen] == list(range(9))
    assert (np.diff([f.time_s for f in seen]) > 0).all()
    assert source.reconnects == 2 and all(camera.closed for camera in cameras)
    assert [line for line in told.lines if "is back" in line] == ["7: is back"] * 2
    assert told.lines[0].startswith("the camera gave no more")


def test_who_waits_for_a_lost_source_can_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Camera(1)]
    source = Capture(7, reopen=lambda _: answers.pop())  # type: ignore[arg-type]
    begin = time.monotonic()
    threading.Timer(0.1, source.close).start()
    assert len(list(source)) == 1
    assert time.monotonic() - begin < 5


# ---------------------------------------------------------------------------------- by the network


class Mjpeg(BaseHTTPRequestHandler):
    """A camera by HTTP: JPEG after JPEG, forty of them, and then it says nothing more."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for i in range(40):
            rgb = np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)
            data = cv2.imencode(".jpg", rgb)[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
        self.wfile.flush()
        self.server.over.wait(20)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
    server.over = threading.Event()  # type: ignore[attr-defined]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/camera.mjpg"
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_a_camera_by_http_that_stalls_is_asked_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poseact.media.video.PATIENCE_S", 1.0)
    monkeypatch.setattr(capturing, "FIRST_WAIT_S", 0.01)
    seen = []
    with Capture(url) as camera:
        for frame in camera:
            seen.append(frame)
            if camera.reconnects == 2:
                break
    assert camera.size == (64, 48) and len(seen) > 40
    assert (np.diff([f.index for f in seen]) > 0).all()
    assert (np.diff([f.time_s for f in seen]) > 0).all()


@pytest.mark.skipif(bool(os.environ.get("DISPLAY")), reason="there is a screen here")
def test_without_a_screen_there_is_no_window() -> None:
    with pytest.raises(ValueError, match="leave --window out"):
        Window("poseact")
