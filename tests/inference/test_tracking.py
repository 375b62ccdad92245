from __future__ import annotations

import numpy as np
import pytest

from poseact.core.geometry import iou, overlaps
from poseact.core.layouts import PA17
from poseact.core.types import Person
from poseact.inference.tracking import (
    confident,
    identify,
    pose_box,
    steady,
    with_flesh,
    without_flesh,
)

SIZE = (640, 480)


def person(xy: np.ndarray, box: np.ndarray, *, score: float = 0.9, track: int = 0) -> Person:
    return Person(xy, None, np.full(len(xy), score), np.asarray(box, float), PA17, track)


@pytest.fixture
def xy() -> np.ndarray:
    rng = np.random.default_rng(0)
    points = rng.uniform([200, 100], [300, 350], (17, 2))
    points[0], points[1] = (200, 100), (300, 350)
    return points


def test_the_box_holds_the_confident_joints_and_no_others(xy: np.ndarray) -> None:
    score = np.full(17, 0.9)
    xy[5], score[5] = (600, 20), 0.05
    np.testing.assert_allclose(pose_box(xy, score, SIZE), [200, 100, 300, 350])


def test_half_of_the_joints_count_however_low_the_scores() -> None:
    score = np.linspace(0.001, 0.01, 17)
    assert confident(score).sum() == 9
    assert confident(score)[-1] and not confident(score)[0]


def test_a_box_may_leave_the_frame_by_a_quarter_of_its_side_only(xy: np.ndarray) -> None:
    box = pose_box(xy + [500, 0], np.ones(17), SIZE)  # x 700..800 in a frame of 640
    assert box[2] == pytest.approx(640 + 0.25 * 250)
    assert (box[2:] >= box[:2]).all()


@pytest.mark.parametrize("at", [(320.0, 240.0), (5000.0, -900.0)])
def test_a_collapsed_pose_gives_a_box_of_the_least_size(at: tuple[float, float]) -> None:
    box = pose_box(np.tile(at, (17, 1)), np.ones(17), SIZE)
    assert (box[2:] - box[:2]).max() >= 32
    centre = (box[:2] + box[2:]) / 2
    assert (centre >= 0).all() and (centre <= SIZE).all()


def test_the_box_stays_while_the_person_trembles_and_moves_when_they_walk(xy: np.ndarray) -> None:
    still = np.array([200.0, 100, 300, 350])
    trembling = xy + np.random.default_rng(1).normal(0, 2, xy.shape)

    def after(points: np.ndarray) -> np.ndarray:
        return steady(still, pose_box(points, np.ones(17), SIZE))

    np.testing.assert_array_equal(after(trembling), still)
    np.testing.assert_allclose(after(xy + [80, 0]), still + [80, 0, 80, 0])


def test_flesh_comes_and_goes() -> None:
    boxes = np.array([[10.0, 20, 110, 220], [0.0, 0, 8, 100]])
    assert (overlaps(with_flesh(boxes), boxes).diagonal() < 1).all()
    np.testing.assert_allclose(with_flesh(boxes)[0], [0, 10, 120, 230])
    thin = without_flesh(boxes)
    assert (thin[:, 2:] - thin[:, :2] > 0).all()
    assert len(with_flesh(np.zeros((0, 4)))) == len(without_flesh(np.zeros((0, 4)))) == 0


def test_a_slow_walk_never_leaves_a_crop_of_one_and_a_quarter(xy: np.ndarray) -> None:
    box = np.array([200.0, 100, 300, 350])
    for step in range(100):
        points = xy + [2.0 * step, 0]
        side = 1.25 * 250 / 2
        centre = (box[:2] + box[2:]) / 2
        assert (np.abs(points - centre) <= side).all()
        box = steady(box, pose_box(points, np.ones(17), SIZE))


def test_people_keep_their_numbers_when_their_order_changes(xy: np.ndarray) -> None:
    boxes = np.array([[0.0, 0, 100, 100], [200.0, 0, 300, 100]])
    before = [person(xy, boxes[0], track=4), person(xy, boxes[1], track=2)]
    now = np.stack([boxes[1] + 10, boxes[0] + 10, [400.0, 400, 450, 450]])
    assert identify(before, now, new_track=7) == [2, 4, 7]
    assert identify([], now, new_track=0) == [0, 1, 2]


def test_one_person_is_not_two(xy: np.ndarray) -> None:
    box = np.array([0.0, 0, 100, 100])
    tracks = identify([person(xy, box, track=3)], np.stack([box + 20, box + 2]), new_track=5)
    assert tracks == [5, 3]  # the larger overlap keeps the number
    assert iou(box, box + 20) > 0.3
