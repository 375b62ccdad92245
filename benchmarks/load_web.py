"""A bounded load on the service over loopback: pictures and short videos from many clients.

    python -m benchmarks.load_web [--clients 16] [--requests 8] [--weights spnet-s]

Starts `poseact web` on a free port. Each client sends rendered pictures, one after the other, and
every fourth time a short video. Every answer is checked: as many frames as were sent, nobody else's
size. Says requests a second, seconds of the median and of the slowest of 20, answers that are
missing, and the service's memory after a quarter of the requests and at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np

from poseact.media.video import VideoWriter
from poseact.people.config import PeopleConfig
from poseact.people.scene import render_clip

VIDEO_FRAMES = 8


def bodies(folder: Path, clients: int) -> list[tuple[bytes, bytes]]:
    """A picture and a video for each client, each of its own width in px."""
    found = []
    for client in range(clients):
        side = 160 + 16 * client
        people = PeopleConfig(frames=VIDEO_FRAMES, height=160, width=160)
        frames = [cv2.resize(f, (side, 160)) for f in render_clip(people, client).frames]
        path = folder / f"{client}.mp4"
        with VideoWriter(path, fps=25, size=(side, 160)) as video:
            for frame in frames:
                video.write(frame)
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(frames[0], cv2.COLOR_RGB2BGR))
        found.append((jpeg.tobytes(), path.read_bytes()))
    return found


def ask(url: str, data: bytes) -> list[dict]:
    """The lines of an answer; waits and asks again while the service is full."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    request = urllib.request.Request(url, head + data + b"\r\n--b--\r\n", kind)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                values = [json.loads(line) for line in answer.read().splitlines()]
            return [values[0]["header"], values[0]["result"]] if len(values) == 1 else values
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
            time.sleep(0.2)


def megabytes(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # pyright: ignore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # pyright: ignore
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=8, help="of each client")
    parser.add_argument("--weights", default="spnet-s")
    args = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as name:
        sent = bodies(Path(name), args.clients)
        command = [sys.executable, "-m", "poseact", "web", "--port", str(port)]
        command += ["--folder", f"{name}/web", "--weights", args.weights]
        service = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{url}/healthz").close()
                    break
                except OSError:
                    time.sleep(0.1)
            report(url, sent, args.requests, service.pid)
            left = [path.name for path in Path(name, "web").glob("upload-*")]
            print(f"uploads left behind: {len(left)}")
        finally:
            service.send_signal(signal.SIGINT)
            service.wait(30)


def report(url: str, sent: list[tuple[bytes, bytes]], requests: int, pid: int) -> None:
    """Run the clients and say how it went."""
    spent: list[float] = []
    wrong: list[str] = []
    memory: list[float] = []
    frames = 0
    lock = threading.Lock()

    def client(number: int) -> None:
        nonlocal frames
        for n in range(requests):
            video = n % 4 == 3
            start = time.perf_counter()
            try:
                header, *lines = ask(f"{url}/v1/predict", sent[number][video])
                right = len(lines) == (VIDEO_FRAMES if video else 1)
                right &= header["size"] == [160 + 16 * number, 160]
                error = "" if right else f"{len(lines)} lines of {header['size']}"
            except (OSError, ValueError, KeyError) as failed:
                error, lines = repr(failed), []
            with lock:
                spent.append(time.perf_counter() - start)
                frames += len(lines)
                wrong.extend([error] if error else [])
                memory.append(megabytes(pid))

    start = time.perf_counter()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(len(sent))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    p50, p95 = np.percentile(spent, [50, 95])
    print(f"{len(sent)} clients, {len(spent)} requests, {frames} frames in {seconds:.1f} s")
    print(f"{len(spent) / seconds:.2f} requests/s, {frames / seconds:.1f} frames/s")
    print(f"p50 {p50:.2f} s, p95 {p95:.2f} s, lost or wrong {len(wrong)} {wrong[:3]}")
    print(f"memory MB: {memory[len(memory) // 4]:.0f} after a quarter, {memory[-1]:.0f} at the end")
    crops = urllib.request.urlopen(f"{url}/metrics").read().decode()
    sums = [re.search(rf"poseact_batch_crops_{k} (\S+)", crops) for k in ("sum", "count")]
    crops, batches = (float(m[1]) for m in sums if m)
    print(f"{crops:.0f} crops in {batches:.0f} batches, {crops / max(batches, 1):.1f} a batch")


if __name__ == "__main__":
    main()
