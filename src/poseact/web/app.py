"""The routes: predictions at once, jobs for long videos, what there is and how it goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from poseact import __version__
from poseact.core.console import EXPECTED
from poseact.inference.predictor import Predictor
from poseact.models.cards import available
from poseact.web.answers import Answer, Answers, Line, kept, text
from poseact.web.batching import SharedNetwork
from poseact.web.decoding import Decoders
from poseact.web.examples import JOB, MODELS, PICTURE, VIDEO, refusals
from poseact.web.gate import Gate, refusal
from poseact.web.jobs import OPEN, Job, Jobs
from poseact.web.limits import Limits, Refused
from poseact.web.metrics import Metrics

NDJSON = "application/x-ndjson"
DEMO = Path(__file__).parent / "demo"
"""The page; `make web` adds its library and networks."""
PROGRESS_S = 0.3
"""From one look at a job to the next, for those who listen."""
Sent = Annotated[UploadFile, File(description="a picture or a video")]
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Service:
    """All that lives as long as the service: network, decoders, jobs, counters."""

    def __init__(
        self, predictor: Predictor, folder: Path, limits: Limits, *, model: str, exit: Any = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.limits, self.metrics = folder, limits, Metrics()
        self.about = _about(predictor, model, exit)
        self._network, self._model = predictor.network, predictor.network.model
        self._shared = SharedNetwork(self._model, noted=self.metrics.batch)
        self._network.model = self._shared
        self._decoders = Decoders(limits)
        self.answers = Answers(predictor, self._decoders, model=model)
        self.jobs = Jobs(folder, self.answers.opened, limits)

    def close(self) -> None:
        self.jobs.close()
        self._decoders.close()
        self._shared.close()
        self._network.model = self._model


def application(
    service: Callable[[], Service],
    *,
    limits: Limits,
    token: str | None = None,
    hosts: Sequence[str] = LOOPBACK,
) -> ASGIApp:
    """The application; service: is called when it starts, and closed when it ends."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = await run_in_threadpool(service)
        yield
        await run_in_threadpool(app.state.service.close)

    app = FastAPI(
        title="poseact",
        version=__version__,
        description="2D and 3D human pose and action recognition from pictures and video.",
        lifespan=life,
        docs_url=None,  # these pages would fetch scripts from elsewhere
        redoc_url=None,
    )
    _add_errors(app)
    _add_predictions(app)
    _add_jobs(app)
    _add_state(app)
    app.mount("/", StaticFiles(directory=DEMO, html=True), name="demo")

    def noted(route: str, status: int) -> None:
        app.state.service.metrics.request(route, status)

    return Gate(app, limits=limits, token=token, hosts=hosts, noted=noted)


def _service(request: Request) -> Service:
    return request.app.state.service


# ------------------------------------------------------------------------------- predictions


def _add_predictions(app: FastAPI) -> None:
    @app.post(
        "/v1/predict",
        summary="People in a picture, or in every frame of a video",
        responses={200: {"content": PICTURE | VIDEO}, **refusals(401, 413, 415, 422, 429)},
        response_model=None,
    )
    def predict(request: Request, file: Sent):
        """Of a picture: an object with `header` and `result`. Of a video: JSON lines as they are
        computed, the header and then one a frame. They are the lines of `poseact predict`. A video
        that breaks off ends with a line that has `error` alone."""
        service = _service(request)
        with ExitStack() as stack:
            path = stack.enter_context(kept(file.file, service.folder))
            stack.enter_context(service.metrics.prediction())
            answer = stack.enter_context(service.answers.opened(path))
            header = next(answer.lines)
            if answer.kind == "image":
                (line,) = answer.lines
                service.metrics.frame()
                return JSONResponse({"header": header, "result": line})
            lines = _to_the_end(service, header, answer, stack.pop_all())
        return StreamingResponse(_streamed(lines), media_type=NDJSON)


def _to_the_end(service: Service, header: Line, answer: Answer, stack: ExitStack) -> Iterator[str]:
    """The lines; the upload is gone with the last one, or when nobody wants more."""
    with stack:
        yield text(header)
        try:
            for line in answer.lines:
                service.metrics.frame()
                yield text(line)
        except (Refused, *EXPECTED) as error:
            yield text({"error": str(error)})


async def _streamed(lines: Iterator[str]) -> AsyncIterator[str]:
    """One line after the other from a thread; `lines` is closed also when the client goes."""
    try:
        while (line := await run_in_threadpool(next, lines, None)) is not None:
            yield line
    finally:
        with contextlib.suppress(ValueError):  # it runs: it ends with its thread
            lines.close()  # pyright: ignore[reportAttributeAccessIssue]


# ------------------------------------------------------------------------------- jobs


def _add_jobs(app: FastAPI) -> None:
    about_job: Any = {200: {"content": {"application/json": {"example": JOB}}}}

    @app.post(
        "/v1/jobs",
        status_code=202,
        summary="A video to work on for longer",
        responses={202: about_job[200], **refusals(401, 413, 422, 429)},
    )
    def add(request: Request, file: Sent) -> dict:
        return asdict(_service(request).jobs.add(file.file))

    @app.get(
        "/v1/jobs/{name}", summary="How far a job is", responses={**about_job, **refusals(401, 404)}
    )
    def get(request: Request, name: str) -> dict:
        return asdict(_service(request).jobs.get(name))

    @app.get(
        "/v1/jobs/{name}/events",
        summary="Progress as server-sent events, until the job has ended",
        responses={
            200: {"content": {"text/event-stream": {"example": _event(Job(**JOB))}}},
            **refusals(401, 404),
        },
        response_class=StreamingResponse,
    )
    async def events(request: Request, name: str):
        jobs = _service(request).jobs
        job = await run_in_threadpool(jobs.get, name)
        return StreamingResponse(_events(jobs, job), media_type="text/event-stream")

    @app.get(
        "/v1/jobs/{name}/result",
        summary="The lines of a job that is done",
        responses={200: {"content": VIDEO}, **refusals(401, 404, 409)},
        response_class=StreamingResponse,
    )
    def result(request: Request, name: str):
        return FileResponse(_service(request).jobs.result(name), media_type=NDJSON)

    @app.delete(
        "/v1/jobs/{name}",
        summary="Cancel a job, or delete the result of one that has ended",
        responses={**about_job, **refusals(401, 404)},
    )
    def cancel(request: Request, name: str) -> dict:
        return asdict(_service(request).jobs.cancel(name))


async def _events(jobs: Jobs, job: Job) -> AsyncIterator[str]:
    yield _event(job)
    while job.state in OPEN:
        await asyncio.sleep(PROGRESS_S)
        before = job
        try:
            job = await run_in_threadpool(jobs.get, job.id)
        except Refused:
            return
        yield ": still there\n\n" if job == before else _event(job)


def _event(job: Job) -> str:
    return f"event: {job.state}\ndata: {json.dumps(asdict(job))}\n\n"


# ------------------------------------------------------------------------------- state


def _add_state(app: FastAPI) -> None:
    @app.get(
        "/v1/models",
        summary="The network that answers, and those that are shipped",
        responses={200: {"content": {"application/json": {"example": MODELS}}}, **refusals(401)},
    )
    def models(request: Request) -> dict:
        return _service(request).about

    @app.get("/healthz", summary="Whether the service is there")
    def health() -> dict:
        return {"status": "ok"}

    @app.get("/metrics", summary="Counters for Prometheus", response_class=PlainTextResponse)
    def metrics(request: Request) -> PlainTextResponse:
        service = _service(request)
        return PlainTextResponse(
            service.metrics.text(service.jobs.counts),
            media_type="text/plain; version=0.0.4; charset=utf-8",
        )


def _about(predictor: Predictor, model: str, exit: Any) -> dict:
    layout = predictor.layout
    return {
        "model": model,
        "exit": exit,
        "layout": layout.name,
        "joints": layout.joints,
        "parents": layout.parents,
        "labels": predictor.labels,
        "shipped": list(available()),
    }


# ------------------------------------------------------------------------------- errors


def _add_errors(app: FastAPI) -> None:
    """Every refusal is JSON with `error`; what the client has sent is never in it."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(ValueError)
    async def wrong(_: Request, error: ValueError) -> JSONResponse:
        return refusal(Refused(422, str(error)))

    @app.exception_handler(RequestValidationError)
    async def incomplete(_: Request, error: RequestValidationError) -> JSONResponse:
        return refusal(Refused(422, "send a picture or a video as the multipart field `file`"))

    @app.exception_handler(HTTPException)
    async def known(_: Request, error: HTTPException) -> JSONResponse:
        return refusal(Refused(error.status_code, error.detail))
