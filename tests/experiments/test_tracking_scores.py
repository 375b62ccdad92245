from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from experiments.tracking import Seen, clear_mot, compared, counted, hota, joined
from poseact.core.layouts import PA17
from poseact.core.types import Person, Result
from poseact.inference.tracking import without_flesh
from poseact.people.config import PeopleConfig
from poseact.people.crowd import render_crowd

BOXES = np.array([[0.0, 0, 40, 100], [200.0, 0, 240, 100]])


def frame(*tracks: int, boxes: np.ndarray = BOXES) -> Seen:
    return Seen(np.array([0, 1]), BOXES, np.array(tracks, int), boxes[: len(tracks)])


def test_whoever_is_always_right_has_it_all() -> None:
    seen = [frame(4, 7)] * 10
    assert hota(seen) == pytest.approx(1)
    counts = clear_mot(seen)
    assert counts["mota"] == counts["idf1"] == 1 and counts["num_objects"] == 20
    assert hota(joined([seen, seen])) == pytest.approx(1)


def test_an_exchange_halves_the_association_and_is_two_switches() -> None:
    seen = [frame(4, 7)] * 10 + [frame(7, 4)] * 10
    counts = clear_mot(seen)
    assert counts["num_switches"] == 2 and counts["idf1"] == pytest.approx(0.5)
    assert hota(seen) == pytest.approx(np.sqrt(1 / 3))  # 10 of 30 in each pair


def test_who_is_missed_and_who_is_not_there() -> None:
    counts = clear_mot([frame(4)] * 10)
    assert counts["num_misses"] == 10 and counts["mota"] == pytest.approx(0.5)
    assert hota([frame(4)] * 10) == pytest.approx(np.sqrt(0.5))
    strangers = clear_mot([frame(4, 7, boxes=BOXES + 100)] * 10)
    assert strangers["num_false_positives"] == 20


def test_the_truth_itself_is_right() -> None:
    config = PeopleConfig(height=90, width=160, frames=4, fps=2, supersample=1, preset="easy")
    scene = render_crowd(config, 1, people=(3, 3))
    assert counted(scene).any()
    results = []
    for t in range(4):
        there = np.flatnonzero(np.isfinite(scene.box[t, :, 0]))
        boxes = without_flesh(scene.box[t][there])
        people = [
            Person(scene.xy[t, n], None, np.ones(17), box, PA17, int(n))
            for n, box in zip(there, boxes)
        ]
        results.append(Result(t, t / 2, tuple(people)))
    counts = clear_mot(compared(scene, results))
    assert counts["mota"] == counts["idf1"] == 1
    far = dataclasses.replace(scene, box=scene.box / 4)  # nobody counts, all may be found
    results = [
        dataclasses.replace(
            result,
            people=tuple(dataclasses.replace(p, box=p.box / 4) for p in result.people),
        )
        for result in results
    ]
    assert not any(len(seen.tracks) or len(seen.people) for seen in compared(far, results))
