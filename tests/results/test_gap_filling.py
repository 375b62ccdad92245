from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from poseact.core.layouts import PA17
from poseact.results import read
from poseact.results.drawing import draw_people
from poseact.results.gaps import fill_gaps
from poseact.results.jsonl import ResultsWriter
from small_results import moving, person


def test_short_gaps_are_filled_and_marked_and_long_ones_stay(tmp_path: Path) -> None:
    frames, _ = moving([("walk", 4.0)])
    gaps = [*range(10, 15), *range(40, 60)]
    holes = [replace(r, people=()) if r.index in gaps else r for r in frames]
    filled = list(fill_gaps(iter(holes)))
    assert [(r.index, r.time_s) for r in filled] == [(r.index, r.time_s) for r in frames]
    for true, result in zip(frames, filled):
        if result.index in gaps[5:]:
            assert result.people == ()
            continue
        (one,), (other,) = true.people, result.people
        assert other.filled == (result.index in gaps[:5])
        if not other.filled:
            assert other is one
    middle = filled[12].people[0]
    ends = [frames[n].people[0].xy for n in (9, 15)]
    np.testing.assert_allclose(middle.xy, ends[0] + 3 / 6 * (ends[1] - ends[0]))
    with ResultsWriter(tmp_path / "a.jsonl", layout=PA17, labels=frames[0].labels) as out:
        for result in filled:
            out.write(result)
    marks = [[p.filled for p in r.people] for r in read(tmp_path / "a.jsonl")]
    assert marks == [[p.filled for p in r.people] for r in filled]


def test_others_are_left_alone() -> None:
    frames, _ = moving([("walk", 1.0)])
    guest = person(3, track=-1)
    both = [replace(r, people=(*r.people, guest) if r.index % 2 else r.people) for r in frames]
    filled = list(fill_gaps(both))
    assert [len(r.people) for r in filled] == [len(r.people) for r in both]
    assert list(fill_gaps([])) == []


def test_who_was_filled_in_is_drawn_faintly() -> None:
    xy = np.random.default_rng(1).uniform(20, 180, (17, 2))
    one = replace(person(1), xy=xy, score=np.ones(17))
    frame = moving([("idle", 0.1)])[0][0]
    black = np.zeros((200, 200, 3), np.uint8)
    plain = draw_people(black, replace(frame, people=(one,)))
    faint = draw_people(black, replace(frame, people=(replace(one, filled=True),)))
    assert faint.sum() < 0.8 * plain.sum()
