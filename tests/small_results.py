"""A few results of two people for the tests of `results`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from poseact.core.layouts import PA17, Layout
from poseact.core.types import Person, Result
from poseact.results.jsonl import Header

LABELS = ("wave", "throw", "kick")
HEADER = Header(PA17, LABELS, "clip.mp4", "spnet", 29.97, (640, 480))


def person(seed: int, *, track: int = 0, layout: Layout = PA17) -> Person:
    rng = np.random.default_rng(seed)
    joints = len(layout)
    xy = rng.uniform(0, 600, (joints, 2))
    xyz = rng.normal(0, 400, (joints, 3))
    xy[3], xyz[5] = np.nan, np.nan
    box = np.array([1.25, 2.5, 300, 400])
    return Person(
        xy, xyz, rng.random(joints), box, layout, track, rng.dirichlet(np.ones(len(LABELS)))
    )


def results() -> list[Result]:
    flat = replace(person(2, track=7), xyz=None, action=None)
    return [
        Result(0, 0.0, (person(0), flat), LABELS),
        Result(1, 1 / 29.97, (), LABELS),
        Result(4, 4 / 29.97, (person(1),), LABELS),
    ]
