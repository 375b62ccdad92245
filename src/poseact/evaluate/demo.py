"""A first result that needs no data: a rendered person, so the truth is known.

A person of the test split (a body, clothes and motions no training saw) does several actions; the
clip is written as a video, predicted like any other video, and compared with the truth.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from poseact.core.console import SILENT, Console
from poseact.core.layouts import convert, layout_named
from poseact.core.types import Result
from poseact.evaluate import metrics
from poseact.inference.jobs import Job, Wanted, predict_job
from poseact.inference.predictor import Predictor
from poseact.media.pictures import write_image
from poseact.media.video import VideoReader, VideoWriter
from poseact.people import PeopleConfig, RenderedClip, render_motion
from poseact.people.motions import ACTIONS, perform_sequence
from poseact.people.scene import sample_body
from poseact.results.jsonl import read_jsonl
from poseact.results.panels import contact_sheet

FPS = 24.0
SIZE = (360, 480)
STEPS = (("walk", 2.5), ("wave", 2.5), ("jumping_jack", 2.5), ("squat", 2.5), ("punch", 2.5))
SEED = 7
NAME = "rendered_person"


def demo(
    out: str | Path, *, weights: str = "spnet-s", seed: int = SEED, console: Console = SILENT
) -> list[Path]:
    """Render, predict, compare, write; the files written. The console gets a small table."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    source = out / f"{NAME}.mp4"
    folder = out / "predicted"
    seconds = sum(s for _, s in STEPS)
    console.say(f"rendering {seconds:.0f} s of a person who does {_listed()} ...")
    clip = render(seed)
    with VideoWriter(source, fps=FPS, size=(SIZE[1], SIZE[0])) as video:
        for frame in clip.frames:
            video.write(frame)
    console.say("predicting ...\n")
    predictor = Predictor(weights)
    done = predict_job(
        predictor, Job(str(source), "video", NAME), folder, model=weights, wanted=Wanted(html=True)
    )
    _, results = read_jsonl(folder / f"{NAME}.jsonl")
    whole = Predictor(weights, runtime="torch")  # as its exits, which are compared with it
    rows = [_row(predictor, clip, results, _rate(whole, source))]
    for block in _earlier(predictor):
        small = Predictor(weights, exit=block)
        start = time.perf_counter()
        seen = [result for _, result in small.video(source)]
        rows.append(_row(small, clip, seen, len(seen) / (time.perf_counter() - start)))
    for line in table(rows[::-1]):
        console.say(line)
    sheet = _sheet(folder / f"{NAME}.mp4", out / "overview.png")
    return [source, *done.files, sheet]


def render(seed: int = SEED) -> RenderedClip:
    """The demo's clip: one person of the test split, all of `STEPS`, a fixed camera."""
    config = PeopleConfig(
        height=SIZE[0], width=SIZE[1], fps=FPS, split="test", preset="easy", supersample=2
    )
    rng = np.random.default_rng(seed)
    body = sample_body(config, rng)
    motion = perform_sequence(STEPS, rng, fps=FPS, offsets=body.offsets)
    return render_motion(motion, config, rng, body=body)


@dataclass(frozen=True)
class Row:
    """What one exit of the network reaches on the demo's clip."""

    exit: tuple[int, int]
    fps: float
    pck_torso: float
    mpjpe_mm: float
    action: float | None


def _row(predictor: Predictor, clip: RenderedClip, results: list[Result], fps: float) -> Row:
    """Errors of the answer a user gets: found box, smoothed poses, assumed camera.

    Joints of a frame in which nobody was seen are wrong, and have no error in mm.
    """
    layout = layout_named("PA17")
    people = [max(r.people, key=lambda p: float(p.score.sum()), default=None) for r in results]
    unseen = np.full((len(predictor.layout), 2), -1e6)
    nothing = np.full((len(layout), 3), np.nan)
    xy = convert(
        np.stack([unseen if p is None else p.xy for p in people]), predictor.layout, layout
    )
    xyz = np.stack([nothing if p is None or p.xyz is None else p.xyz for p in people])
    truth = metrics.root_aligned(clip.xyz, layout.root)
    right = [
        predictor.labels[int(np.argmax(p.action))] == ACTIONS[int(action)]
        for p, action in zip(people, clip.actions)
        if p is not None and p.action is not None
    ]
    return Row(
        exit=predictor.model.exits[-1],
        fps=fps,
        pck_torso=100 * metrics.pck_torso(xy, clip.xy, layout).mean,
        mpjpe_mm=metrics.mpjpe(metrics.root_aligned(xyz, layout.root), truth).mean,
        action=100 * float(np.mean(right)) if right else None,
    )


def _rate(predictor: Predictor, source: Path) -> float:
    start = time.perf_counter()
    count = sum(1 for _ in predictor.video(source))
    return count / (time.perf_counter() - start)


def _earlier(predictor: Predictor) -> list[tuple[int, int]]:
    """Two more exits: the one in the middle and the first."""
    exits = predictor.model.exits
    return [exits[len(exits) // 2 - 1], exits[0]] if len(exits) > 2 else list(exits[:-1])


def table(rows: list[Row]) -> list[str]:
    """Lines for the console."""
    lines = ["exit          frames/s   PCK@0.2 torso   MPJPE     action right"]
    for row in rows:
        action = "-" if row.action is None else f"{row.action:.0f} % of frames"
        lines.append(
            f"pyramid {row.exit[0]} level {row.exit[1]}"
            f"{row.fps:8.0f}{row.pck_torso:14.1f} %{row.mpjpe_mm:9.0f} mm   {action}"
        )
    return [
        *lines,
        "one rendered clip, read from its video, in PyTorch; mm with an assumed camera and stature",
    ]


def _sheet(video: Path, path: Path) -> Path:
    """Eight annotated frames in one picture."""
    with VideoReader(video) as reader:
        frames = list(reader)
    picks = [frames[i] for i in np.linspace(0, len(frames) - 1, 10).astype(int)[1:-1]]
    tiles = [frame.rgb for frame in picks]
    write_image(path, contact_sheet(tiles, 4, labels=[f"{f.time_s:.1f} s" for f in picks]))
    return path


def _listed() -> str:
    names = [name.replace("_", " ") for name, _ in STEPS]
    return ", ".join(names[:-1]) + " and " + names[-1]
