from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from poseact.core.angles import ANGLES
from poseact.core.layouts import COCO17, PA17, Layout
from poseact.core.types import Person, Result
from poseact.results import angles, read
from poseact.results.angle_table import write_angles
from poseact.results.jsonl import ResultsWriter


def person(layout: Layout = PA17, **joints: tuple[float, float, float]) -> Person:
    """Somebody who stands upright with hanging arms, mm; some joints are elsewhere."""
    xyz = np.full((len(layout), 3), np.nan)
    for side, x in (("l", 150.0), ("r", -150.0)):
        heights = {
            "shoulder": -500,
            "elbow": -200,
            "wrist": 50,
            "hip": 0,
            "knee": 400,
            "ankle": 800,
        }
        for name, y in heights.items():
            xyz[layout.index(f"{side}_{name}")] = (x, y, 0)
    for name, at in joints.items():
        xyz[layout.index(name)] = at
    return Person(xyz[:, :2], xyz, np.ones(len(layout)), np.zeros(4), layout, 3)


@pytest.mark.parametrize("layout", [PA17, COCO17])
def test_standing_is_zero(layout: Layout) -> None:
    for name in ANGLES:
        for of in ("xyz", "xy"):
            assert person(layout).angle(name, of=of) == pytest.approx(0, abs=1e-4), name


def test_flexion_and_raised_arms() -> None:
    bent = person(l_ankle=(150, 400, 400))  # the shin level, backwards
    assert bent.angle("l_knee") == pytest.approx(90)
    assert bent.angle("r_knee") == pytest.approx(0, abs=1e-4)
    kick = person(l_knee=(150, 0, -400))
    assert kick.angle("l_hip") == pytest.approx(90)
    level = person(r_elbow=(-450, -500, 0), r_wrist=(-450, -800, 0))
    assert level.angle("r_shoulder") == pytest.approx(90)
    assert level.angle("r_elbow") == pytest.approx(90)


def test_turning_round_changes_nothing() -> None:
    kick = person(l_knee=(150, 0, -400), l_ankle=(150, 300, -500))
    assert kick.xyz is not None
    turned = kick.xyz * (-1, 1, -1)
    other = Person(kick.xy, turned, kick.score, kick.box, PA17, 3)
    for name in ANGLES:
        assert other.angle(name) == pytest.approx(kick.angle(name), abs=1e-4)


def test_leaning_and_lying() -> None:
    hips = {"l_hip": (150.0, 0.0, 0.0), "r_hip": (-150.0, 0.0, 0.0)}
    lying = person(l_shoulder=(150, 0, -500), r_shoulder=(-150, 0, -500), **hips)
    assert lying.angle("trunk") == pytest.approx(90)


def test_unknown_joints_give_no_angle_and_an_unknown_name_is_refused() -> None:
    hidden = person()
    hidden.score[PA17.index("l_knee")] = 0.1
    assert np.isnan(hidden.angle("l_knee")) and np.isnan(hidden.angle("l_hip"))
    flat = Person(hidden.xy, None, hidden.score, hidden.box, PA17)
    assert np.isnan(flat.angle("r_knee")) and flat.angle("r_knee", of="xy") == pytest.approx(0)
    with pytest.raises(KeyError, match="l_toe"):
        hidden.angle("l_toe")


def test_the_table(tmp_path: Path) -> None:
    bent = person(l_ankle=(150, 400, 400), l_wrist=(np.nan, 0, 0))
    write_angles(tmp_path / "a.csv", [Result(4, 0.5, (bent,)), Result(5, 0.6, ())])
    with (tmp_path / "a.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["frame"], row["track"], row["l_knee_deg"], row["l_elbow_deg"]) == (
        *("4", "3", "90.0"),
        "",
    )


def test_angles_of_a_file_by_person(tmp_path: Path) -> None:
    bent = person(l_ankle=(150, 400, 400), l_wrist=(np.nan, 0, 0))
    with ResultsWriter(tmp_path / "a.jsonl", layout=PA17) as out:
        for result in (Result(4, 0.5, (bent,)), Result(5, 0.6, ()), Result(6, 0.7, (person(),))):
            out.write(result)
    table = angles(tmp_path / "a.jsonl")[3]
    assert set(table) == {"frame", "time_s", *ANGLES}
    np.testing.assert_array_equal(table["frame"], [4, 6])
    np.testing.assert_allclose(table["time_s"], [0.5, 0.7])
    np.testing.assert_allclose(table["l_knee"], [90, 0], atol=1e-3)
    assert np.isnan(table["l_elbow"]).tolist() == [True, False]
    again = angles(read(tmp_path / "a.jsonl"))
    np.testing.assert_array_equal(again[3]["l_knee"], table["l_knee"])
