from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from poseact.media.live import newest
from poseact.media.pictures import Broken, Frame
from poseact.media.video import VideoReader
from small_media import clip


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


def test_a_source_is_let_go_by_the_thread_that_decodes(tmp_path: Path) -> None:
    """To close a decoder under another thread that is inside it would be a crash."""
    video = VideoReader(clip(tmp_path / "a.mp4"))
    inside, leave, let_go = threading.Event(), threading.Event(), threading.Event()
    video._stack.callback(let_go.set)

    def stalled(frames):
        yield next(frames)
        inside.set()
        leave.wait(5)
        yield from frames

    video._frames = stalled(video._frames)
    thread = threading.Thread(target=lambda: list(video))
    thread.start()
    inside.wait(5)
    video.close()
    assert not let_go.is_set()
    leave.set()
    thread.join(5)
    assert let_go.is_set() and list(video) == []


def test_urls_and_lists_of_files_open_nothing_else(tmp_path: Path) -> None:
    whole = clip(tmp_path / "2026-11-28T10:15:00.mp4")  # no scheme, though it has a colon
    with VideoReader(whole) as video:
        assert len(list(video)) == 10
    for url in ("file:///etc/hosts", "concat://a|b", "ftp://a/b.mp4", "data://x"):
        with pytest.raises(ValueError, match="a URL begins with"):
            VideoReader(url)
    lists = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{whole}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile '{whole}'\n",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n",
    }
    for name, text in lists.items():
        for path in (tmp_path / name, tmp_path / f"{name}.mp4"):
            path.write_text(text)
            with pytest.raises(ValueError, match="not a video"):
                VideoReader(path)


class Hanging(BaseHTTPRequestHandler):
    """A camera by HTTP that sends the half of a film and then nothing more."""

    data = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.data)
        self.wfile.flush()
        self.server.over.wait(20)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None: ...


def test_a_stream_that_stalls_gives_what_came_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with av.open(str(tmp_path / "a.ts"), "w") as out:
        stream = out.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(300):
            rgb = np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode(None))
    data = (tmp_path / "a.ts").read_bytes()
    monkeypatch.setattr(Hanging, "data", data[: len(data) // 2])
    monkeypatch.setattr("poseact.media.video.PATIENCE_S", 2.0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    server.over = threading.Event()  # type: ignore[attr-defined]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    good = 0
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/camera.ts"
        with (
            pytest.raises(Broken, match=r"camera.ts: broken after \d+ frames"),
            VideoReader(url) as video,
        ):
            assert video.live
            for frame in video:
                assert np.isfinite(frame.time_s)
                good += 1
    finally:
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
    assert good > 50
