from __future__ import annotations

import numpy as np
import pytest

from poseact.core.layouts import COCO17, PA17
from poseact.inference.sides import Sides
from small_results import moving

LEGS = [PA17.index(f"{s}_{j}") for s in "lr" for j in ("hip", "knee", "ankle")]
ARMS = [PA17.index(f"{s}_{j}") for s in "lr" for j in ("shoulder", "elbow", "wrist")]
FLIP = np.array(PA17.flip)


def poses(action: str, *, seed: int = 0, noise_px: float = 0.0) -> np.ndarray:
    """(T, J, 3) px: the picture, and depth on the picture's scale."""
    frames, _ = moving([(action, 4.0)], seed=seed)
    people = [result.people[0] for result in frames]
    depth = [p.xyz[:, 2:] / 8 for p in people if p.xyz is not None]  # 500 px, 4 m away
    points = np.concatenate([np.stack([p.xy for p in people]), np.stack(depth)], -1)
    return points + np.random.default_rng(seed).normal(0, noise_px, points.shape)


def orders(points: np.ndarray, *, fps: float = 25.0) -> np.ndarray:
    """(T, J) what `Sides` says of a pose a frame."""
    sides = Sides(PA17)
    return np.stack([sides.order(p, t / fps, size=210.0) for t, p in enumerate(points)])


@pytest.mark.parametrize("action", ["walk", "run", "squat", "kick", "jumping_jack", "golf_swing"])
@pytest.mark.parametrize("dims", [2, 3])
def test_who_is_right_is_left_alone(action: str, dims: int) -> None:
    for seed in range(3):
        points = poses(action, seed=seed, noise_px=2.0)[..., :dims]
        assert (orders(points) == np.arange(17)).all()


@pytest.mark.parametrize("limbs", [LEGS, ARMS])
def test_a_swap_of_a_few_frames_is_mended(limbs: list[int]) -> None:
    points = poses("squat", noise_px=2.0)
    wrong = points.copy()
    for first, last in ((20, 21), (40, 44), (60, 65)):
        wrong[first:last, limbs] = points[first:last, FLIP[limbs]]
    mended = np.stack([p[order] for p, order in zip(wrong, orders(wrong))])
    np.testing.assert_array_equal(mended, points)


def test_a_swap_that_lasts_is_believed_and_so_is_its_end() -> None:
    points = poses("squat", noise_px=2.0)
    wrong = points.copy()
    wrong[30:70, LEGS] = points[30:70, FLIP[LEGS]]
    said = (orders(wrong) != np.arange(17)).any(1)
    assert said[30] and not said[55:70].any() and not said[95:].any()


def test_nothing_is_known_after_a_gap_or_of_unknown_joints() -> None:
    points = poses("squat")
    sides = Sides(PA17)
    assert (sides.order(points[0], 0.0, size=210.0) == np.arange(17)).all()
    assert (sides.order(points[0][FLIP], 3.0, size=210.0) == np.arange(17)).all()
    assert (sides.order(np.full((17, 3), np.nan), 3.04, size=210.0) == np.arange(17)).all()
    assert len(Sides(COCO17).order(np.zeros((17, 2)), 0.0, size=100.0)) == 17
