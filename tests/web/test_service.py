"""The service, with a tiny network: what it answers, what it refuses, what is left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("multipart")

from starlette.testclient import TestClient

from poseact.core.types import Result
from poseact.inference.jobs import Job, Wanted, predict_job
from poseact.inference.predictor import Predictor
from poseact.media.pictures import write_image
from poseact.media.video import VideoWriter
from poseact.models.spnet import SPNet
from poseact.models.weights import Card, save
from poseact.web.app import Service, application
from poseact.web.limits import Limits

SIZE = (64, 48)
LIMITS = Limits(megabytes=1, megapixels=0.01, seconds=3, requests=2, waiting_jobs=1)
Client = Callable[..., TestClient]


@pytest.fixture()
def predictor(tiny: SPNet, tiny_card: Card, tmp_path: Path) -> Predictor:
    save(tmp_path / "tiny.safetensors", tiny, replace(tiny_card, frames=2))
    return Predictor(tmp_path / "tiny.safetensors", detector="none")


@pytest.fixture()
def client(predictor: Predictor, tmp_path: Path) -> Iterator[Client]:
    """Makes a client of a service in the same folder each time; one at a time."""
    open_clients: list[TestClient] = []

    def make(limits: Limits = LIMITS, token: str | None = None) -> TestClient:
        while open_clients:
            open_clients.pop().__exit__(None, None, None)

        def service() -> Service:
            return Service(predictor, tmp_path / "web", limits, model="tiny")

        app = application(service, limits=limits, token=token)
        made = TestClient(app, base_url="http://127.0.0.1:8000").__enter__()
        open_clients.append(made)
        return made

    yield make
    while open_clients:
        open_clients.pop().__exit__(None, None, None)


@pytest.fixture()
def picture(tmp_path: Path) -> Path:
    rgb = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    write_image(tmp_path / "picture.png", rgb)
    return tmp_path / "picture.png"


@pytest.fixture()
def video(tmp_path: Path) -> Path:
    return written(tmp_path / "video.mp4", frames=6)


def written(path: Path, *, frames: int, fps: float = 10) -> Path:
    random = np.random.default_rng(1)
    with VideoWriter(path, fps=fps, size=SIZE) as out:
        for _ in range(frames):
            out.write(random.integers(0, 256, (*SIZE[::-1], 3), np.uint8))
    return path


def send(client: TestClient, data: bytes | Path, route: str = "/v1/predict", name: str = "a"):
    data = data.read_bytes() if isinstance(data, Path) else data
    return client.post(route, files={"file": (name, data)})


def ended(client: TestClient, job: dict) -> dict:
    until = time.monotonic() + 30
    while job["state"] in ("waiting", "running"):
        assert time.monotonic() < until
        time.sleep(0.02)
        job = client.get(f"/v1/jobs/{job['id']}").json()
    return job


def uploads(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "web").glob("*upload-*"))


def of_predict(predictor: Predictor, source: Path, tmp_path: Path) -> list[dict]:
    kind = "video" if source.suffix == ".mp4" else "image"
    job = Job(str(source), kind, "a")
    wanted = Wanted(drawing=False)
    done = predict_job(predictor, job, tmp_path / "out", model="tiny", wanted=wanted)
    lines = [json.loads(line) for line in done.files[0].read_text().splitlines()]
    return [{**lines[0], "source": ""}, *lines[1:]]


# ------------------------------------------------------------------------------- what is answered


def test_the_lines_are_those_of_predict(
    client: Client, predictor: Predictor, picture: Path, video: Path, tmp_path: Path
) -> None:
    header, still = of_predict(predictor, picture, tmp_path)
    expected = of_predict(predictor, video, tmp_path)
    service = client()
    assert send(service, picture).json() == {"header": header, "result": still}
    answer = send(service, video)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == expected
    job = send(service, video, "/v1/jobs")
    assert job.status_code == 202
    job = ended(service, job.json())
    assert (job["state"], job["frames"], job["total"], job["error"]) == ("done", 6, 6, "")
    assert service.get(f"/v1/jobs/{job['id']}/result").text == answer.text
    assert uploads(tmp_path) == []


def test_requests_at_the_same_time_get_their_own_answers(client: Client, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    pictures = []
    for n in range(6):
        rgb = random.integers(0, 256, (*SIZE[::-1], 3), np.uint8)
        write_image(tmp_path / f"{n}.png", rgb)
        pictures.append(tmp_path / f"{n}.png")
    service = client(replace(LIMITS, requests=6))
    alone = [send(service, picture).json() for picture in pictures]
    together: dict[int, dict] = {}

    def ask(n: int) -> None:
        together[n] = send(service, pictures[n]).json()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, before in enumerate(alone):
        one, other = (np.array(a["result"]["people"][0]["xy"]) for a in (before, together[n]))
        assert np.abs(one - other).max() < 0.02  # px, rounded to 0.01


def test_models_health_metrics_and_the_description(client: Client, picture: Path) -> None:
    service = client()
    send(service, picture)
    about = service.get("/v1/models").json()
    assert about["model"] == "tiny" and about["labels"] == ["idle", "walk", "run", "jump"]
    assert "spnet-s" in about["shipped"] and len(about["joints"]) == 17
    assert service.get("/healthz").json() == {"status": "ok"}
    counted = service.get("/metrics").text
    assert 'poseact_requests_total{route="/v1/predict",status="200"} 1.0' in counted
    assert "poseact_frames_total 1.0" in counted and "poseact_batch_crops_count 1.0" in counted
    paths = service.get("/openapi.json").json()["paths"]
    for path in ("/v1/predict", "/v1/jobs", "/v1/jobs/{name}/events", "/v1/models"):
        for route in paths[path].values():
            success = next(v for k, v in route["responses"].items() if k.startswith("2"))
            assert all("example" in content for content in success["content"].values()), path


def test_progress_comes_as_events_until_the_end(client: Client, video: Path) -> None:
    service = client()
    job = send(service, video, "/v1/jobs").json()
    events = service.get(f"/v1/jobs/{job['id']}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    kinds = [line[7:] for line in events.text.splitlines() if line.startswith("event: ")]
    assert kinds[-1] == "done"
    last = [line[6:] for line in events.text.splitlines() if line.startswith("data: ")][-1]
    assert json.loads(last)["frames"] == 6


def test_the_page_is_served_with_the_headers_that_threads_need(client: Client) -> None:
    page = client(token="geheim").get("/")
    assert "Nothing leaves this page" in page.text and page.status_code == 200
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert page.headers["cross-origin-embedder-policy"] == "require-corp"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    module = client().get("/app.js")
    assert "javascript" in module.headers["content-type"]
    assert client().get("/../app.py").status_code == 404


# ------------------------------------------------------------------------------- what is refused


def refused(response, status: int, words: str) -> None:
    assert (response.status_code, words in response.json()["error"]) == (status, True), (
        response.text
    )


def test_limits_are_named_and_nothing_stays(client: Client, tmp_path: Path) -> None:
    service = client()
    refused(send(service, bytes(1_100_000)), 413, "1 MB")

    def endless() -> Iterator[bytes]:  # no Content-Length
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(20):
            yield bytes(100_000)

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    refused(service.post("/v1/predict", content=endless(), headers=kind), 413, "1 MB")
    write_image(tmp_path / "large.png", np.zeros((120, 100, 3), np.uint8))
    refused(send(service, tmp_path / "large.png"), 413, "100 x 120 px")
    long = written(tmp_path / "long.mp4", frames=8, fps=2)
    refused(send(service, long), 413, "3 s")
    refused(send(client(replace(LIMITS, decode_mb=1)), long), 415, "memory")
    assert uploads(tmp_path) == []


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
        b"concat:/etc/passwd|/etc/hosts",
        b"no picture",
        b"",
    ],
    ids=["m3u8", "concat", "sdp", "svg", "protocol", "text", "empty"],
)
def test_playlists_and_other_texts_open_nothing(
    client: Client, tmp_path: Path, data: bytes
) -> None:
    answer = send(client(), data, name="../../<b>evil</b>.mp4")
    assert answer.status_code == 415
    for word in ("evil", str(tmp_path), "passwd", "root:"):
        assert word not in answer.text
    assert uploads(tmp_path) == []


def test_a_playlist_inside_a_job_opens_nothing(client: Client, video: Path, tmp_path: Path) -> None:
    service = client()
    job = send(service, f"ffconcat version 1.0\nfile {video}\n".encode(), "/v1/jobs").json()
    job = ended(service, job)
    assert job["state"] == "failed" and str(tmp_path) not in job["error"]
    refused(service.get(f"/v1/jobs/{job['id']}/result"), 409, "failed")
    assert uploads(tmp_path) == []


def test_a_video_that_breaks_ends_with_the_reason(
    client: Client, video: Path, tmp_path: Path
) -> None:
    longer = written(tmp_path / "longer.mp4", frames=30, fps=30).read_bytes()
    lines = send(client(), longer[: len(longer) * 3 // 4]).text.splitlines()
    assert 2 < len(lines) < 32 and "truncated" in json.loads(lines[-1])["error"]
    service = client()
    job = ended(service, send(service, longer[: len(longer) * 3 // 4], "/v1/jobs").json())
    assert job["state"] == "done" and "frames are kept" in job["error"]
    assert uploads(tmp_path) == []


def test_the_token_the_host_and_the_field_are_asked_for(client: Client, picture: Path) -> None:
    service = client(token="geheim")
    for route in ("/v1/models", "/metrics", "/v1/jobs/x"):
        refused(service.get(route), 401, "Authorization")
    refused(send(service, picture), 401, "Authorization")
    wrong = {"Authorization": "Bearer geheim2"}
    refused(service.get("/v1/models", headers=wrong), 401, "Authorization")
    right = {"Authorization": "Bearer geheim"}
    assert service.get("/v1/models", headers=right).status_code == 200
    assert service.get("/healthz").status_code == 200
    refused(service.get("/healthz", headers={"Host": "evil.example"}), 421, "127.0.0.1")
    service = client()
    refused(service.post("/v1/predict", data={"evil": "<b>"}), 422, "field `file`")
    refused(service.get("/v1/jobs/..%2Fjobs.sqlite"), 404, "")


def test_too_many_at_one_time_are_sent_away(
    client: Client, picture: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, inside, image = threading.Event(), threading.Event(), predictor.image

    def slow(rgb: np.ndarray) -> Result:
        inside.set()
        release.wait(10)
        return image(rgb)

    monkeypatch.setattr(predictor, "image", slow)
    service, statuses = client(replace(LIMITS, requests=1)), []
    thread = threading.Thread(target=lambda: statuses.append(send(service, picture).status_code))
    thread.start()
    assert inside.wait(10)
    refused(send(service, picture), 429, "1 uploads")
    release.set()
    thread.join()
    assert [*statuses, send(service, picture).status_code] == [200, 200]


# ------------------------------------------------------------------------------- jobs


@pytest.fixture()
def held(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Frames wait for this event."""
    event, session = threading.Event(), predictor.session

    def waiting(**options):
        made = session(**options)
        push = made.push

        def later(*args, **kwargs):
            event.wait(20)
            return push(*args, **kwargs)

        made.push = later
        return made

    monkeypatch.setattr(predictor, "session", waiting)
    return event


def test_jobs_are_cancelled_deleted_and_limited(
    client: Client, video: Path, tmp_path: Path, held: threading.Event
) -> None:
    service = client()
    first, second = (send(service, video, "/v1/jobs").json() for _ in range(2))
    refused(send(service, video, "/v1/jobs"), 429, "2 jobs")
    assert service.delete(f"/v1/jobs/{second['id']}").json()["state"] == "cancelled"
    assert service.delete(f"/v1/jobs/{first['id']}").json()["state"] == "cancelled"
    held.set()
    third = ended(service, send(service, video, "/v1/jobs").json())
    assert third["state"] == "done"
    assert len(list((tmp_path / "web").glob("result-*"))) == 1
    assert service.delete(f"/v1/jobs/{third['id']}").status_code == 200
    refused(service.get(f"/v1/jobs/{third['id']}"), 404, "no such job")
    assert list((tmp_path / "web").glob("result-*")) == [] == uploads(tmp_path)


def test_a_restart_resumes_what_it_can_and_reports_the_rest(
    client: Client, video: Path, tmp_path: Path, held: threading.Event
) -> None:
    limits = replace(LIMITS, waiting_jobs=2)
    service = client(limits)
    running, waiting, lost = (send(service, video, "/v1/jobs").json() for _ in range(3))
    while service.get(f"/v1/jobs/{running['id']}").json()["state"] != "running":
        time.sleep(0.02)
    threading.Timer(0.3, held.set).start()  # while the service closes
    stopped = client(limits)  # another one over the same folder
    for job in (running, waiting, lost):
        assert ended(stopped, job)["state"] == "done"
    assert uploads(tmp_path) == []


def test_an_upload_that_is_lost_is_reported_and_old_results_go(
    client: Client, video: Path, tmp_path: Path
) -> None:
    import sqlite3

    service = client()
    job = ended(service, send(service, video, "/v1/jobs").json())
    client(replace(LIMITS, requests=3))
    service = client()
    assert service.get(f"/v1/jobs/{job['id']}/result").status_code == 200
    service.__exit__(None, None, None)
    with sqlite3.connect(tmp_path / "web" / "jobs.sqlite") as database:
        database.execute("update jobs set state = 'running'")
    database.close()
    (tmp_path / "web" / "upload-left").write_bytes(b"by a killed service")
    reported = client().get(f"/v1/jobs/{job['id']}").json()
    assert reported["state"] == "failed" and "stopped" in reported["error"]
    assert uploads(tmp_path) == []
    refused(client(replace(LIMITS, keep_hours=1e-6)).get(f"/v1/jobs/{job['id']}"), 404, "deleted")


def test_an_error_of_ours_is_no_answer_of_the_clients(
    client: Client,
    picture: Path,
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def broken(rgb: np.ndarray) -> None:
        raise RuntimeError("inner workings")

    monkeypatch.setattr(predictor, "image", broken)
    service = client()
    with pytest.raises(RuntimeError):
        send(service, picture)
    assert uploads(tmp_path) == []
