"""The page in a real browser: the joints of Python, no request after loading, on every width.

Needs Chromium and what `make web` builds; skipped where they are missing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue

import cv2
import numpy as np
import pytest

from poseact.core.types import Person
from poseact.inference.box_file import BoxFile
from poseact.inference.predictor import Predictor
from poseact.inference.tracking import pose_box
from poseact.people.config import PeopleConfig
from poseact.people.scene import render_clip

DEMO = Path(__file__).parents[2] / "src" / "poseact" / "web" / "demo"
PAGES = Path(__file__).parent / "pages"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FPS = 8.0

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here"),
    pytest.mark.skipif(not (DEMO / "models").is_dir(), reason="not built: make web"),
]


class Site:
    """A static server of the demo, the test pages and `content` (path -> bytes). asked: the paths
    of all requests; a page tells what it found by a request to /told."""

    def __init__(self, content: dict[str, bytes], *, isolated: bool) -> None:
        self.asked: list[str] = []
        self.told: SimpleQueue[dict] = SimpleQueue()
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def translate_path(self, path: str) -> str:
                name = path.split("?")[0].lstrip("/")
                return str(PAGES / name[6:] if name.startswith("pages/") else DEMO / name)

            def do_GET(self) -> None:
                site.asked.append(self.path)
                if self.path not in content:
                    return super().do_GET()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(content[self.path])
                return None

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                site.told.put(json.loads(self.rfile.read(length)))
                self.send_response(204)
                self.end_headers()

            def end_headers(self) -> None:
                if isolated:
                    self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                    self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
                super().end_headers()

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def site(content: dict[str, bytes] | None = None, *, isolated: bool = False) -> Iterator[Site]:
    made = Site(content or {}, isolated=isolated)
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def browsed(made: Site, page: str, folder: Path, *options: str, patience_s: float = 120) -> dict:
    """What a page tells, opened in a Chromium of its own."""
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [f"--user-data-dir={folder / 'profile'}", "--disable-background-networking"]
    browser = subprocess.Popen(
        [*command, *options, f"{made.url}/{page}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = made.told.get(timeout=patience_s)
    except Empty:
        pytest.fail(f"the page said nothing in {patience_s} s; it asked for {made.asked}")
    finally:
        browser.terminate()
        browser.wait(20)
    assert "error" not in told, told
    return told


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """A rendered person who walks through a larger picture: (T, H, W, 3)."""
    people = PeopleConfig(frames=9, fps=FPS, height=256, width=256)
    frames = render_clip(people, 3).frames
    out = np.full((len(frames), 480, 640, 3), 96, np.uint8)
    for n, frame in enumerate(frames):
        large = cv2.resize(frame, (384, 384), interpolation=cv2.INTER_LINEAR)
        out[n, 60:444, 60 + 10 * n : 444 + 10 * n] = large
    return out


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """Of the same file, not smoothed, with a detector that sees nobody."""
    boxes = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    boxes.write_text("frame,x0,y0,x1,y1\n1000000,0,0,9,9\n")
    exits = json.loads((DEMO / "models" / "card.json").read_text())["exits"]
    network = DEMO / "models" / exits[-1]["frames"]
    return Predictor(network, smooth=False, detector=BoxFile(boxes))


def followed(predictor: Predictor, clip: np.ndarray) -> list[Person]:
    """The person whose pose is in the whole first frame."""
    whole = predictor.network.whole(clip[0])
    box = pose_box(whole.xy, whole.score, (clip.shape[2], clip.shape[1]))
    session = predictor.session(box=box)
    results = [session.push(rgb, n / FPS) for n, rgb in enumerate(clip)]
    return [person for result in results for person in result.people]


def farthest(found: list, expected: list[np.ndarray]) -> list[float]:
    return [float(np.abs(np.array(a) - b).max()) for a, b in zip(found, expected, strict=True)]


@pytest.mark.parametrize("isolated", [True, False], ids=["threads", "one-thread"])
def test_the_joints_are_pythons(
    clip: np.ndarray, predictor: Predictor, tmp_path: Path, *, isolated: bool
) -> None:
    """In every frame: in the same box within 0.5 px. And followed through the clip, where a byte of
    a crop that was rounded differently is carried on: within 1 px, 10 mm, 0.02 of a probability."""
    people = followed(predictor, clip)
    looks = [predictor.network.look(rgb, p.box[None])[0] for rgb, p in zip(clip, people)]
    alpha = np.full((*clip.shape[:3], 1), 255, np.uint8)
    content = {
        "/frames": np.concatenate([clip, alpha], -1).tobytes(),
        "/boxes": json.dumps([p.box.tolist() for p in people]).encode(),
    }
    with site(content, isolated=isolated) as made:
        told = browsed(made, "pages/joints.html", tmp_path)
    assert told["isolated"] == isolated
    assert max(farthest(told["looks"], [look.xy for look in looks])) < 0.5
    assert len(people) == len(clip)
    found = told["people"]
    apart = [np.abs(np.array(f["xy"]) - p.xy) for f, p in zip(found, people, strict=True)]
    assert np.median(apart) < 0.1 and np.max(apart) < 1
    assert max(farthest([f["xyz"] for f in found], [p.xyz for p in people])) < 10
    assert max(farthest([f["box"] for f in found], [p.box for p in people])) < 1
    acting = [(f["action"], p.action) for f, p in zip(found, people) if p.action is not None]
    assert acting and max(farthest(*map(list, zip(*acting)))) < 0.02


def test_nothing_leaves_the_page(clip: np.ndarray, tmp_path: Path) -> None:
    """With a camera that shows a film, at every exit: frames are answered, nothing is asked for."""
    film = tmp_path / "camera.mjpeg"
    with film.open("wb") as out:
        for rgb in clip:
            out.write(cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())
    camera = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    with site() as made:
        told = browsed(
            made, "pages/use.html", tmp_path, *camera, f"--use-file-for-fake-video-capture={film}"
        )
        asked = made.asked
    assert told["ready"].startswith("WebAssembly") and told["frames"] >= 6
    assert told["rates"] and "frames a second" in told["rates"][0]
    assert told["overflow"] == 0  # nothing is wider than a phone
    assert told["drawn"]
    assert asked.count("/index.html") == 1
    assert told["late"] == [] and asked[asked.index("/pages/loaded.txt") + 1 :] == []
    assert "/models/card.json" in asked
