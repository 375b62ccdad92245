from dataclasses import dataclass

import numpy as np
import pytest

from poseact.inference.finder import anchors, find


@dataclass(frozen=True)
class Pose:
    xy: np.ndarray
    score: np.ndarray
    box: np.ndarray


STICK = np.array([[0.5, 0.05], [0.2, 0.4], [0.8, 0.4], [0.35, 0.95], [0.65, 0.95]])


def network(people: list[tuple[np.ndarray, float]]):
    """A network that predicts a person inside the crop, else a false one that fills the crop."""

    def predict(boxes: np.ndarray) -> list[Pose]:
        poses = []
        for box in boxes:
            side = (box[2:] - box[:2]).max()
            middle = (box[:2] + box[2:]) / 2
            false = middle + (STICK - 0.5) * 0.7 * side
            best = Pose(false, np.full(5, 0.78), box)
            for person, score in people:
                size = person[2:] - person[:2]
                held = (np.abs((person[:2] + person[2:]) / 2 - middle) < 0.45 * side).all()
                if held and 0.3 * side < size.max() < 1.3 * side:
                    best = Pose(person[:2] + STICK * size, np.full(5, score), box)
            poses.append(best)
        return poses

    return predict


def test_anchors_cover_the_frame() -> None:
    boxes = anchors((640, 360))
    np.testing.assert_allclose(boxes[0], [0, -140, 640, 500])
    sides = boxes[:, 2] - boxes[:, 0]
    assert set(np.round(sides, 3)) == {640, 360, 216, 129.6}
    for side in (360, 216, 129.6):
        grid = boxes[np.isclose(sides, side)]
        assert grid[:, :2].min() == 0
        np.testing.assert_allclose(grid[:, 2:].max(0), [640, 360])
        starts = np.unique(np.round(grid[:, 0], 6))
        assert (np.diff(starts) <= 0.4 * side + 1e-6).all()
    assert len(anchors((60, 60))) == 2


@pytest.mark.parametrize("at", [(20.0, 30.0), (300.0, 150.0), (560.0, 200.0)])
@pytest.mark.parametrize("height", [70.0, 140.0])
def test_a_real_person_is_preferred_to_larger_false_ones(
    at: tuple[float, float], height: float
) -> None:
    """False poses are about as confident, and larger; but they move with the crop."""
    person = np.array([*at, at[0] + height / 2, at[1] + height])
    found = find(network([(person, 0.8)]), (640, 360), margin=1.25)
    np.testing.assert_allclose(found.xy, person[:2] + STICK * (person[2:] - person[:2]))


def test_of_two_people_the_larger_is_found() -> None:
    small, large = np.array([50.0, 50, 90, 130]), np.array([400.0, 100, 500, 300])
    found = find(network([(small, 0.8), (large, 0.8)]), (640, 360), margin=1.25)
    assert found.xy[:, 0].min() > 400
