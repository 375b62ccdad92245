"""Uploads are decoded by a process that can do little else: the service never does it itself.

    python -m poseact.web.decoding FD          started by `Decoders`

That process waits at a socket. For each upload it forks, and the child reads the file with `media`,
within limits on memory and CPU time, unable to write files, and sends frames through a pipe, each
message a JSON head and, for a frame, its pixels. A child whose reader has gone ends at its next
frame; one that takes too long for a frame is ended by its own limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from poseact.media.inputs import list_inputs
from poseact.media.pictures import Broken, Frame, read_image
from poseact.media.video import VideoReader
from poseact.web.limits import Limits, Refused

SILENCE_S = 60.0
"""A decoder that says nothing for so long is given up."""
_HEAD = struct.Struct(">I")
_LARGEST_HEAD = 1 << 16
_UNREADABLE = 415


@dataclass(frozen=True)
class Upload:
    """A file that is being decoded. fps: None for a picture. size: (width, height) px. count: of
    frames, an estimate, None where unknown. frames: once, from front to back; raises `Refused` at a
    limit and `Broken` at the end of a damaged video."""

    kind: Literal["image", "video"]
    fps: float | None
    size: tuple[int, int]
    count: int | None
    frames: Iterator[Frame]


class Decoders:
    """The process that forks decoders; its children are one for each upload."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._lock = limits, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "poseact.web.decoding", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **single},
            )

    @contextmanager
    def opened(self, path: Path) -> Iterator[Upload]:
        """The upload at `path`, of our own naming. `Refused` if it is neither a picture nor a video
        in a plain container, or beyond a limit."""
        order = json.dumps({"path": str(path), **asdict(self._limits)}).encode()
        reading, writing = os.pipe()
        try:
            with self._lock:
                assert self._process is not None
                if self._process.poll() is not None:
                    self._socket.close()
                    self._start()
                socket.send_fds(self._socket, [order], [writing])
        finally:
            os.close(writing)
        try:
            head = _message(reading)
            size = int(head["size"][0]), int(head["size"][1])
            self._check_size(size)
            frames = _frames(reading, size)
            yield Upload(head["kind"], head["fps"], size, head["count"], frames)
        finally:
            os.close(reading)

    def _check_size(self, size: tuple[int, int]) -> None:
        """Once more: what has decoded a hostile file is not to be believed."""
        if size[0] * size[1] > self._limits.megapixels * 1e6 or min(size) < 1:
            raise Refused(413, f"frames may have {self._limits.megapixels:g} megapixels")

    def close(self) -> None:
        """No more uploads; children end with their readers."""
        self._socket.close()
        if self._process is not None:
            self._process.wait(10)


def _frames(pipe: int, size: tuple[int, int]) -> Iterator[Frame]:
    while True:
        head = _message(pipe)
        if "end" in head:
            if head["end"]:
                raise Broken(head["end"])
            return
        pixels = _exactly(pipe, 3 * size[0] * size[1])
        rgb = np.frombuffer(pixels, np.uint8).reshape(size[1], size[0], 3)
        yield Frame(int(head["frame"]), float(head["time_s"]), rgb)


def _message(pipe: int) -> dict[str, Any]:
    (length,) = _HEAD.unpack(_exactly(pipe, _HEAD.size))
    if length > _LARGEST_HEAD:
        raise Refused(_UNREADABLE, "this file cannot be decoded")
    head = json.loads(_exactly(pipe, length))
    if "refused" in head:
        raise Refused(int(head["refused"]), str(head["why"]))
    return head


def _exactly(pipe: int, length: int) -> bytearray:
    found = bytearray(length)
    view, at = memoryview(found), 0
    while at < length:
        ready, _, _ = select.select([pipe], [], [], SILENCE_S)
        count = os.readv(pipe, [view[at:]]) if ready else 0
        if not count:
            raise Refused(
                _UNREADABLE,
                "this file cannot be decoded within the limits on memory and time: make it smaller",
            )
        at += count
    return found


# ------------------------------------------------------------------------- in the other process


def main(fd: int) -> None:
    """Fork a child for each order, until the service closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then closes
    with contextlib.suppress(FileNotFoundError):
        VideoReader("no such video")  # loads the libraries, which the children share
    with socket.socket(fileno=fd) as orders:
        while True:
            order, fds, _, _ = socket.recv_fds(orders, 1 << 16, 1)
            if not order:
                return
            if os.fork() == 0:
                orders.close()
                with os.fdopen(fds[0], "wb") as out:
                    _answer(json.loads(order), out)
                os._exit(0)
            os.close(fds[0])
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(order: dict[str, Any], out: BinaryIO) -> None:
    path = Path(order.pop("path"))
    limits = Limits(**order)
    try:
        _confine(limits)
        _send_upload(path, limits, out)
    except BrokenPipeError:  # the reader has gone
        os._exit(0)
    except Refused as refused:
        _send(out, {"refused": refused.status, "why": refused.why})
    except MemoryError:
        _send(out, {"refused": 413, "why": f"decoding may take {limits.decode_mb} MB of memory"})
    except (ValueError, OSError) as error:
        why = str(error).replace(f"{path}: ", "").replace(str(path), "the upload")
        _send(out, {"refused": _UNREADABLE, "why": why[:1000]})


def _confine(limits: Limits) -> None:
    """No file may grow, few be open, and memory and time are limited."""
    import resource

    memory = limits.decode_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _go_on(limits)


def _go_on(limits: Limits) -> None:
    """Another frame's time."""
    import resource

    spent = resource.getrusage(resource.RUSAGE_SELF)
    until = int(spent.ru_utime + spent.ru_stime) + limits.decode_s + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def _send_upload(path: Path, limits: Limits, out: BinaryIO) -> None:
    (found,) = list_inputs(path)
    if found.kind == "image":
        rgb = read_image(path)
        size = _checked(rgb, limits)
        _send(out, {"kind": "image", "fps": None, "size": size, "count": 1})
        _send(out, {"frame": 0, "time_s": 0.0}, rgb)
        _send(out, {"end": ""})
        return
    with VideoReader(path) as video:
        if video.duration_s is not None and video.duration_s > limits.seconds:
            raise _too_long(limits)
        size, end = None, ""
        try:
            for frame in video:
                now = _checked(frame.rgb, limits)
                if size is None:
                    size = now
                    about = {"fps": video.fps, "size": size, "count": video.frame_count}
                    _send(out, {"kind": "video", **about})
                if now != size:
                    raise Broken(f"pictures of {size} px become {now} in frame {frame.index}")
                if frame.time_s > limits.seconds:
                    raise _too_long(limits)
                _send(out, {"frame": frame.index, "time_s": frame.time_s}, frame.rgb)
                _go_on(limits)
        except Broken as error:
            end = str(error).replace(f"{path}: ", "")
        _send(out, {"end": end})


def _checked(rgb: np.ndarray, limits: Limits) -> tuple[int, int]:
    height, width = rgb.shape[:2]
    if width * height > limits.megapixels * 1e6:
        raise Refused(
            413,
            f"{width} x {height} px: pictures and frames may have {limits.megapixels:g} megapixels",
        )
    return width, height


def _too_long(limits: Limits) -> Refused:
    return Refused(413, f"videos may last {limits.seconds:g} s; send a shorter part")


def _send(out: BinaryIO, head: dict[str, Any], rgb: np.ndarray | None = None) -> None:
    text = json.dumps(head).encode()
    out.write(_HEAD.pack(len(text)) + text)
    if rgb is not None:
        out.write(np.ascontiguousarray(rgb).data)
    out.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
