"""Who is who in rendered scenes of 2 to 5 people who cross, hide each other, leave and come back.

    python -m experiments.tracking --split test --shared ../shared --out runs/out/tracking

MOTA and IDF1 by motmetrics; HOTA as its authors define it (Luiten et al., IJCV 2021, equations 15
to 17). Boxes are those of whole bodies: of tracks, the joints' grown by `FLESH`. They match from
an IoU of 0.5 on (HOTA: 0.05 to 0.95). People count who are 60 px high or more and of whom a quarter
is seen; others may be found or not. Constants are chosen on `val`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import motmetrics
import numpy as np
import torch

from poseact.core.geometry import overlaps
from poseact.core.types import Result
from poseact.inference.predictor import Predictor
from poseact.inference.tracking import assign, with_flesh
from poseact.media.video import VideoWriter
from poseact.people.config import PeopleConfig
from poseact.people.crowd import CROWD, CrowdClip, render_crowd
from poseact.results.drawing import draw_people

HIGH_PX, SHARE = 60, 0.25
ALPHAS = np.arange(0.05, 0.99, 0.05)


class Seen(NamedTuple):
    """One frame: numbers (n,) and boxes (n, 4) px of the people who count, and of the tracks."""

    people: np.ndarray
    boxes: np.ndarray
    tracks: np.ndarray
    found: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        return overlaps(self.boxes, self.found)


def counted(scene: CrowdClip) -> np.ndarray:
    """(T, P) bool: people who are to be found."""
    high = scene.box[..., 3] - scene.box[..., 1]
    return (np.nan_to_num(high) >= HIGH_PX) & (scene.share >= SHARE)


def compared(scene: CrowdClip, results: Sequence[Result]) -> list[Seen]:
    """Truth and tracks of every frame, without tracks of people who do not count."""
    seen = []
    for t, (result, counts) in enumerate(zip(results, counted(scene), strict=True)):
        found = with_flesh(np.array([person.box for person in result.people]).reshape(-1, 4))
        tracks = np.array([person.track for person in result.people], int)
        there = np.isfinite(scene.box[t]).all(-1)
        wanted, others = scene.box[t][counts], scene.box[t][there & ~counts]
        hits = {n for n, _ in assign(1 - overlaps(found, wanted), limit=0.5)}
        size = np.array([scene.frames.shape[2], scene.frames.shape[1]])
        inside = np.concatenate([found[:, :2].clip(0, size), found[:, 2:].clip(0, size)], 1)
        kept = [n for n in range(len(found)) if n in hits or not _within(inside[n], others)]
        seen.append(Seen(np.flatnonzero(counts), wanted, tracks[kept], inside[kept]))
    return seen


def _within(box: np.ndarray, others: np.ndarray) -> bool:
    """Whether half of a box lies in one of others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(-1)
    return bool((shared >= 0.5 * (box[2:] - box[:2]).prod()).any())


def joined(scenes: Sequence[Sequence[Seen]]) -> list[Seen]:
    """Scenes one after the other, in which nobody appears twice."""
    return [
        seen._replace(people=seen.people + 1000 * n, tracks=seen.tracks + 10**6 * n)
        for n, scene in enumerate(scenes)
        for seen in scene
    ]


# ------------------------------------------------------------------------------------- scores


def clear_mot(seen: Sequence[Seen]) -> dict[str, float]:
    """MOTA, IDF1 and what they count."""
    events = motmetrics.MOTAccumulator(auto_id=True)
    for now in seen:
        events.update(now.people, now.tracks, np.where(now.iou >= 0.5, 1 - now.iou, np.nan))
    names = ["mota", "idf1", "num_misses", "num_false_positives", "num_switches", "num_objects"]
    counts = motmetrics.metrics.create().compute(events, metrics=names, return_dataframe=False)
    return {name: float(np.asarray(counts[name]).item()) for name in names}


def hota(seen: Sequence[Seen]) -> float:
    """Higher-order tracking accuracy 0..1, the mean over `ALPHAS`."""
    people = np.unique(np.concatenate([now.people for now in seen]))
    tracks = np.unique(np.concatenate([now.tracks for now in seen]))
    rows = [np.searchsorted(people, now.people) for now in seen]
    columns = [np.searchsorted(tracks, now.tracks) for now in seen]
    once = np.zeros(len(people)), np.zeros(len(tracks))
    together = np.zeros((len(people), len(tracks)))
    for now, r, c in zip(seen, rows, columns):
        once[0][r] += 1
        once[1][c] += 1
        either = now.iou.sum(0) + now.iou.sum(1, keepdims=True) - now.iou
        together[np.ix_(r, c)] += now.iou / np.maximum(either, 1e-12)
    alike = together / (once[0][:, None] + once[1] - together)
    matches = np.zeros((len(ALPHAS), *together.shape))
    for now, r, c in zip(seen, rows, columns):
        for n, k in assign(-alike[np.ix_(r, c)] * now.iou, limit=0):
            matches[now.iou[n, k] >= ALPHAS - 1e-9, r[n], c[k]] += 1
    hits = matches.sum((1, 2))
    of_pair = matches / np.maximum(once[0][:, None] + once[1] - matches, 1)
    association = (matches * of_pair).sum((1, 2)) / np.maximum(hits, 1)
    detection = hits / np.maximum(once[0].sum() + once[1].sum() - hits, 1)
    return float(np.sqrt(detection * association).mean())


# ------------------------------------------------------------------------------------- scenes


def config(split: str, shared: str | None) -> PeopleConfig:
    """Scenes of a split; with the shared bodies and views, if there are any."""
    chosen = replace(CROWD, split=split)
    if shared is None:
        return chosen
    data = Path(shared) / "data"
    return replace(
        chosen,
        bodies=str(data / "bodies" / "makehuman.npz"),
        backgrounds=str(data / "backgrounds"),
    )


def follow(predictor: Predictor, scene: CrowdClip, *, fps: float) -> list[Result]:
    """The result of every frame."""
    session = predictor.session()
    return [session.push(rgb, t / fps) for t, rgb in enumerate(scene.frames)]


def write_video(path: Path, scene: CrowdClip, results: Sequence[Result], *, fps: float) -> None:
    """People as found, with their numbers; thin boxes are the truth."""
    height, width = scene.frames.shape[1:3]
    with VideoWriter(path, fps=fps, size=(width, height)) as video:
        for t, result in enumerate(results):
            rgb = draw_people(scene.frames[t], result)
            for x0, y0, x1, y1 in scene.box[t][counted(scene)[t]].astype(int):
                cv2.rectangle(rgb, (x0, y0), (x1, y1), (255, 255, 255), 1)
            for person in result.people:
                x, y = person.box[:2].clip([0, 20]).astype(int).tolist()
                cv2.putText(rgb, str(person.track), (x, y), 0, 0.7, (255, 230, 0), 2, cv2.LINE_AA)
            video.write(rgb)


def row(name: str, seen: Sequence[Seen]) -> str:
    counts = clear_mot(seen)
    return (
        f"| {name} | {100 * counts['mota']:.1f} | {100 * counts['idf1']:.1f} | "
        f"{100 * hota(seen):.1f} | {counts['num_misses']:.0f} | "
        f"{counts['num_false_positives']:.0f} | {counts['num_switches']:.0f} | "
        f"{counts['num_objects']:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--shared", help="folder with data/bodies and data/backgrounds")
    parser.add_argument("--weights", default="spnet-s")
    parser.add_argument("--out", type=Path, help="folder for a drawn video of every scene")
    options = parser.parse_args()
    torch.set_num_threads(1)
    predictor = Predictor(options.weights)
    print("| scene | MOTA | IDF1 | HOTA | missed | false | switched | people in frames |")
    print("|---|---|---|---|---|---|---|---|")
    scenes, spent = [], 0.0
    for n in range(options.scenes):
        scene = render_crowd(config(options.split, options.shared), n, people=(2, 5))
        begin = time.perf_counter()
        results = follow(predictor, scene, fps=CROWD.fps)
        spent += time.perf_counter() - begin
        scenes.append(compared(scene, results))
        print(row(f"{options.split} {n}", scenes[-1]), flush=True)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            path = options.out / f"{options.split}_{n}.mp4"
            write_video(path, scene, results, fps=CROWD.fps)
    print(row("all", joined(scenes)))
    frames = sum(len(scene) for scene in scenes)
    print(f"{1000 * spent / max(frames, 1):.0f} ms a frame")


if __name__ == "__main__":
    main()
