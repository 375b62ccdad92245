"""Counted on exact poses of the rendered people, whose motions know their phase; on a real clip."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poseact.core.types import Result
from poseact.results.repetitions import Repetition, repetitions, summary, write_repetitions
from small_results import moving


def turns(phase: np.ndarray) -> int:
    """How often the movement was at its farthest, phase 0.5."""
    return int(((phase[:-1] < 0.5) & (phase[1:] >= 0.5) & (np.diff(phase) < 0.5)).sum())


def trembling(results: list[Result], mm: float) -> list[Result]:
    rng = np.random.default_rng(0)
    shaken = []
    for result in results:
        (person,) = result.people
        assert person.xyz is not None
        noise = rng.normal(0, mm, person.xyz.shape)
        shaken.append(replace(result, people=(replace(person, xyz=person.xyz + noise),)))
    return shaken


@pytest.mark.parametrize("action", ["squat", "jumping_jack", "push_up"])
@pytest.mark.parametrize("seed", range(4))
def test_every_repetition_is_counted_once(action: str, seed: int) -> None:
    frames, motion = moving([(action, 12.0)], seed=seed)
    all_ = turns(motion.phase)
    whole = turns(motion.phase[13:-13])  # half a second at the ends may be too little to tell
    for results in (frames, trembling(frames, 15), frames[::3]):
        found = repetitions(results)
        assert {r.movement for r in found} == {action}
        assert whole <= len(found) <= all_
    starts = [r.start_s for r in found]
    assert starts == sorted(starts) and all(r.end_s > r.start_s for r in found)


@pytest.mark.parametrize(
    "action",
    ["idle", "walk", "run", "wave", "clap", "punch", "kick", "throw", "arm_circles", "golf_swing"],
)
def test_other_movements_are_not_counted(action: str) -> None:
    for seed in range(2):
        assert repetitions(moving([(action, 8.0)], seed=seed)[0]) == []


def test_two_people_and_somebody_who_is_away(tmp_path: Path) -> None:
    one, _ = moving([("squat", 12.0)], seed=1)
    other, _ = moving([("jumping_jack", 12.0)], seed=1, track=5)
    both = [replace(a, people=(*a.people, *b.people)) for a, b in zip(one, other)]
    found = repetitions(both)
    assert {(r.track, r.movement) for r in found} == {(0, "squat"), (5, "jumping_jack")}
    assert len(summary(found)) == 2 and summary(found)[1].startswith("track 5: ")
    hidden = [replace(r, people=()) if 4 < r.time_s < 6 else r for r in one]
    assert not [r for r in repetitions(hidden) if r.start_s < 5 < r.end_s]
    assert repetitions([]) == []


def test_the_table(tmp_path: Path) -> None:
    found = [Repetition(2, "squat", 0.5, 2.0, 80.4), Repetition(2, "squat", 2.0, 3.5, 78.0)]
    write_repetitions(tmp_path / "a.csv", found)
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["1", "2"]
    assert rows[0] == {
        "track": "2",
        "movement": "squat",
        "number": "1",
        "start_s": "0.500",
        "end_s": "2.000",
        "range_deg": "80",
    }


SHARED = Path(os.environ.get("POSEACT_SHARED", Path(__file__).parents[3] / "shared"))
CLIP = SHARED / "data" / "clips" / "weizmann_p3_jack.mp4"


@pytest.mark.skipif(not CLIP.exists(), reason="needs data/clips of the optional real data")
def test_jumping_jacks_of_a_real_clip() -> None:
    from poseact.inference.predictor import Predictor

    found = repetitions(result for _, result in Predictor(action_set=None).video(CLIP))
    assert summary(found) == ["track 0: 2 x jumping_jack"]  # counted by eye
