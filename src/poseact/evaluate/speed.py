"""How fast this machine is: crops through every network, exit and runtime, and a video's stages."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np

from poseact.core.console import SILENT, Console
from poseact.inference.backends import open_network
from poseact.inference.jobs import Job, Wanted, predict_job
from poseact.inference.predictor import Predictor
from poseact.media.video import VideoReader, VideoWriter
from poseact.models.cards import available, read_card
from poseact.models.exported import Runtime, graphs_of
from poseact.results.intervals import Steady
from poseact.results.panels import annotate

BATCHES = (1, 8)
"""Crops at once."""
STAGES: tuple[str, ...] = ("detect, crop, network, follow", "draw", "encode")
"""Of a decoded frame, in turn."""
WARM_UP = 2
"""Rounds that do not count."""


@dataclass(frozen=True)
class CropTime:
    """Milliseconds of a crop, in batches of so many; exit: "2 0", or "" for all of the network."""

    weights: str
    exit: str
    runtime: Runtime
    batch: int
    least_ms: float
    median_ms: float
    p95_ms: float


@dataclass(frozen=True)
class StageRate:
    """Frames a second of one stage of a video alone, or of the whole command."""

    stage: str
    frames_per_s: float


def networks() -> list[str]:
    """The shipped networks of poses."""
    return [n for n in available() if read_card(n).architecture in ("spnet", "multitask")]


def crop_times(
    weights: Sequence[str],
    *,
    exits: bool = False,
    rounds: int = 20,
    threads: int | None = None,
    console: Console = SILENT,
) -> list[CropTime]:
    """Of every network and installed runtime, in turns, so that a busy moment hits them alike.

    exits: also cut at every exit, in PyTorch. Everything is on the CPU.
    """
    tries: list[tuple[tuple[str, str, Runtime, int], Callable[[], object]]] = []
    for name in weights:
        for cut, runtime in _ways(name, exits):
            opened = open_network(name, exit=cut, device="cpu", runtime=runtime, threads=threads)
            for batch in BATCHES:
                crops = np.zeros((batch, *opened.card.size, 3), np.uint8)
                label = "" if cut is None else f"{cut[0]} {cut[1]}"
                run = _bound(opened.network.frames, crops)
                tries.append(((name, label, opened.runtime, batch), run))
    spent = np.zeros((len(tries), rounds + WARM_UP))
    with console.bar("crops", rounds + WARM_UP, unit="rounds") as advance:
        for n in range(rounds + WARM_UP):
            for k, (_, run) in enumerate(tries):
                begin = time.perf_counter()
                run()
                spent[k, n] = time.perf_counter() - begin
            advance(1)
    ms = 1e3 * spent[:, WARM_UP:] / np.array([what[3] for what, _ in tries])[:, None]
    return [
        CropTime(*what, *(float(q) for q in (row.min(), np.median(row), np.percentile(row, 95))))
        for (what, _), row in zip(tries, ms)
    ]


def _bound(frames: Callable[[np.ndarray], object], crops: np.ndarray) -> Callable[[], object]:
    return lambda: frames(crops)


def _ways(name: str, exits: bool) -> Iterator[tuple[tuple[int, int] | None, Runtime]]:
    if graphs_of(read_card(name)) is not None:
        if find_spec("onnxruntime"):
            yield None, "onnx"
        if find_spec("openvino") and find_spec("onnx"):
            yield None, "openvino"
    if find_spec("torch"):
        yield None, "torch"
        if exits:
            model = open_network(name, device="cpu", runtime="torch").whole().model
            for exit in model.exits[:-1]:
                yield exit, "torch"


def stages(
    video: str | Path, weights: str, *, limit: int = 300, threads: int | None = None
) -> list[StageRate]:
    """Of the first `limit` frames of a video: each stage alone, and `poseact predict` with and
    without the annotated video. Errors are those of `VideoReader`."""
    rates: list[StageRate] = []

    def timed(stage: str, work: Callable[[], int]) -> None:
        begin = time.perf_counter()
        count = work()
        rates.append(StageRate(stage, count / (time.perf_counter() - begin)))

    def decode() -> int:
        with VideoReader(video) as reader:
            return sum(1 for _ in islice(reader, limit))

    timed("decode", decode)
    predictor = Predictor(weights, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        busy = dict.fromkeys(STAGES, 0.0)
        counted = _in_turn(video, predictor, Path(folder) / "alone.mp4", limit, busy)
        rates += [StageRate(stage, counted / seconds) for stage, seconds in busy.items()]
        for drawing in (False, True):
            job = Job(str(video), "video", "whole")
            wanted = Wanted(drawing=drawing, limit=limit)

            def whole(job: Job = job, wanted: Wanted = wanted) -> int:
                predict_job(predictor, job, Path(folder), model=weights, wanted=wanted)
                return counted

            timed(f"poseact predict{'' if drawing else ' --no-video'}", whole)
    return rates


def _in_turn(
    video: str | Path, predictor: Predictor, out: Path, limit: int, busy: dict[str, float]
) -> int:
    """One stage after the other for every frame; adds up the seconds of each."""
    session, steady, frames = predictor.session(), Steady(), 0
    see, draw, encode = busy
    writer: VideoWriter | None = None
    with ExitStack() as stack:
        reader = stack.enter_context(VideoReader(video))
        for frame in islice(reader, limit):
            begin = time.perf_counter()
            result = session.push(frame.rgb, frame.time_s, index=frame.index)
            seen = time.perf_counter()
            drawn = annotate(frame.rgb, steady(result))
            done = time.perf_counter()
            if writer is None:
                size = drawn.shape[1], drawn.shape[0]
                writer = stack.enter_context(VideoWriter(out, fps=reader.fps, size=size))
            writer.write(drawn, time_s=frame.time_s)
            busy[see] += seen - begin
            busy[draw] += done - seen
            busy[encode] += time.perf_counter() - done
            frames += 1
    return frames


def memory_mb() -> float | None:
    """Most memory that this process has had; None where that is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)
