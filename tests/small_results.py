"""A few results of two people, and exact ones of somebody who moves, for the tests of `results`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from poseact.core.layouts import PA17, Layout
from poseact.core.types import Person, Result
from poseact.people.motions import Motion, perform_sequence
from poseact.people.skeleton import random_offsets, to_layout
from poseact.results.jsonl import Header

LABELS = ("wave", "throw", "kick")
HEADER = Header(PA17, LABELS, "clip.mp4", "spnet", 29.97, (640, 480), 768.0, 1.82)


def person(seed: int, *, track: int = 0, layout: Layout = PA17) -> Person:
    rng = np.random.default_rng(seed)
    joints = len(layout)
    xy = rng.uniform(0, 600, (joints, 2))
    xyz = rng.normal(0, 400, (joints, 3))
    xy[3], xyz[5] = np.nan, np.nan
    box = np.array([1.25, 2.5, 300, 400])
    score, action = rng.random(joints), rng.dirichlet(np.ones(len(LABELS)))
    root = rng.normal(0, 3000, 3)
    return Person(xy, xyz, score, box, layout, track, action, root=root)


def results() -> list[Result]:
    flat = replace(person(2, track=7), xyz=None, action=None)
    return [
        Result(0, 0.0, (person(0), flat), LABELS),
        Result(1, 1 / 29.97, (), LABELS),
        Result(4, 4 / 29.97, (person(1),), LABELS),
    ]


def moving(
    steps: Sequence[tuple[str, float]], *, seed: int = 0, fps: float = 25.0, track: int = 0
) -> tuple[list[Result], Motion]:
    """Exact poses of somebody who does the steps (action, seconds) 4 m before the camera; and the
    motion they are of."""
    rng = np.random.default_rng(seed)
    motion = perform_sequence(steps, rng, fps=fps, offsets=random_offsets(rng), yaw=0.3)
    world = 1000 * to_layout(motion.position, motion.rotation, "PA17") * (1, -1, -1)
    seen = world - np.array([0, -1000, 0]) + (0, 0, 4000)  # camera axes, a metre over the floor
    xy = 500 * seen[..., :2] / seen[..., 2:] + (320, 240)
    xyz = world - world[:, [PA17.root]]
    found = []
    for t in range(len(motion)):
        box = np.concatenate([xy[t].min(0), xy[t].max(0)])
        found.append(
            Result(t, t / fps, (Person(xy[t], xyz[t], np.ones(17), box, PA17, track),), LABELS)
        )
    return found, motion
