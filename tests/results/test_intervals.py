from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poseact.core.layouts import PA17
from poseact.core.types import Person, Result
from poseact.results.intervals import Interval, Steady, intervals, write_intervals, write_srt

LABELS = ("walk", "wave", "none")
FPS = 10


def results(*tracks: Sequence[int | None], sure: float = 0.9) -> list[Result]:
    """Frames in which each track has an action by its number, None for out of sight."""
    xy = np.zeros((17, 2))
    frames = []
    for t, acts in enumerate(zip(*tracks)):
        people = []
        for track, act in enumerate(acts):
            if act is not None:
                p = np.full(3, (1 - sure) / 2)
                p[act] = sure
                people.append(Person(xy, None, np.ones(17), np.zeros(4), PA17, track, p))
        frames.append(Result(t, t / FPS, tuple(people), LABELS))
    return frames


def test_an_action_from_when_to_when() -> None:
    (walk, wave) = intervals(results([0] * 20 + [1] * 20))
    assert (walk.label, walk.start_s, walk.track) == ("walk", 0.0, 0)
    assert walk.end_s == pytest.approx(2.4, abs=0.3)
    assert wave.start_s == pytest.approx(walk.end_s, abs=0.2)
    assert wave.end_s == pytest.approx(3.9)
    assert walk.probability == pytest.approx(0.8, abs=0.1)


def test_a_few_other_frames_end_nothing_and_none_is_no_action() -> None:
    flicker = [0] * 10 + [1] * 2 + [0] * 10
    assert [i.label for i in intervals(results(flicker))] == ["walk"]
    assert intervals(results([2] * 30)) == []
    assert intervals(results([0] * 30, sure=0.5)) == []  # not sure enough
    assert intervals([]) == [] and intervals(results([0] * 4)) == []  # too short


def test_everyone_has_a_timeline_and_a_gap_ends_an_interval() -> None:
    found = intervals(results([0] * 40, [1] * 10 + [None] * 20 + [1] * 10))
    assert [(i.track, i.label) for i in found] == [(0, "walk"), (1, "wave"), (1, "wave")]
    assert found[1].end_s == pytest.approx(0.9) and found[2].start_s == pytest.approx(3.0)


def test_what_is_drawn_does_not_flicker() -> None:
    rng = np.random.default_rng(0)
    steady, drawn = Steady(), []
    for result in results([0] * 20 + [1, 0, 1] + [0] * 12 + [1] * 30 + [2] * 30):
        (person,) = result.people
        noisy = np.asarray(person.action) + rng.uniform(0, 0.1, 3)
        (shown,) = steady(replace(result, people=(replace(person, action=noisy),))).people
        drawn.append(None if shown.action is None else int(shown.action.argmax()))
    changes = [a for a, b in zip(drawn, [*drawn[1:], -1]) if a != b]
    assert changes == [0, 1, None]  # the last label is none


def test_files(tmp_path: Path) -> None:
    found = [Interval(0, "jumping_jack", 0.5, 3661.25, 0.9), Interval(2, "walk", 1.0, 2.0, 0.75)]
    write_intervals(tmp_path / "a.csv", found)
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "track,action,start_s,end_s,probability",
        "0,jumping_jack,0.500,3661.250,0.900",
        "2,walk,1.000,2.000,0.750",
    ]
    write_intervals(tmp_path / "b.csv", [Interval(0, "=1+1", 0.0, 1.0, 0.5)])
    assert "\n0,'=1+1,0.000" in (tmp_path / "b.csv").read_text()  # no formula
    write_srt(tmp_path / "a.srt", found)
    first = "1\n00:00:00,500 --> 01:01:01,250\n0: jumping jack\n"
    assert (tmp_path / "a.srt").read_text().startswith(first)
    write_srt(tmp_path / "a.vtt", found)
    assert (tmp_path / "a.vtt").read_text().startswith("WEBVTT\n\n1\n00:00:00.500 --> 01:01:01.250")
