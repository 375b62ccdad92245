"""Left stays left: a swap of both legs, or both arms, for a few frames is seen and mended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from poseact.core.layouts import Layout

LEGS, ARMS = ("hip", "knee", "ankle", "foot"), ("shoulder", "elbow", "wrist", "hand")
PRICE_S = 2.0
"""What a second of swapped limbs costs, beside the jumps of joints it saves, of the body's size."""
FAR = 0.25
"""A joint that is farther from where it should be, of the body's size, is not the worse for it."""
LONGEST_GAP_S = 0.5
"""After a longer one nothing is known of before."""
PACE = 0.5
"""Weight of a new frame in the velocity of a joint."""


@dataclass
class _Belief:
    """One of two ways to read the limbs: its cost so far, and where they are and go, (n, D)."""

    cost: float
    points: np.ndarray
    velocity: np.ndarray


class _Pair:
    """Two limbs over time, which are each other's or not.

    Of both readings of every frame, as it is and swapped, the cheaper way that leads there is kept
    (Viterbi, forwards). A swap that lasts becomes too dear, and is taken for the truth.
    """

    def __init__(self, joints: np.ndarray, twins: np.ndarray) -> None:
        self.joints, self.twins = joints, twins
        self._beliefs: tuple[_Belief, _Belief] | None = None

    def swapped(self, points: np.ndarray, step_s: float, size: float) -> bool:
        """Whether the limbs of the pose (J, D) px are each other's."""
        readings = points[self.joints], points[self.twins]
        if self._beliefs is None or not 0 < step_s <= LONGEST_GAP_S:
            still = np.zeros_like(readings[0])
            start = _Belief(0.0, readings[0], still), _Belief(PRICE_S, readings[1], still)
            self._beliefs = start
            return False
        after = [self._best(r, step_s, size) for r in readings]
        after[1].cost += PRICE_S * step_s
        least = min(b.cost for b in after)
        for belief in after:
            belief.cost -= least
        self._beliefs = after[0], after[1]
        return after[1].cost < after[0].cost

    def _best(self, points: np.ndarray, step_s: float, size: float) -> _Belief:
        assert self._beliefs is not None
        ways = []
        for before in self._beliefs:
            expected = before.points + before.velocity * step_s
            away = np.nan_to_num(np.linalg.norm(points - expected, axis=-1) / size)
            cost = before.cost + float(np.minimum(away, FAR).sum())
            pace = np.nan_to_num((points - before.points) / step_s)
            pace = before.velocity + PACE * (pace - before.velocity)
            velocity = np.where(away[:, None] < FAR / 2, pace, 0.0)  # a jump is no movement
            ways.append(_Belief(cost, points, velocity))
        return min(ways, key=lambda belief: belief.cost)


class Sides:
    """The left and right limbs of one person through a video."""

    def __init__(self, layout: Layout) -> None:
        self._identity = np.arange(len(layout))
        self._pairs, self._time_s = [], -np.inf
        for limb in (LEGS, ARMS):
            own = [f"{s}_{j}" for s in "lr" for j in limb if f"{s}_{j}" in layout.joints]
            joints = np.array([layout.index(name) for name in own], int)
            if len(joints):
                self._pairs.append(_Pair(joints, np.array(layout.flip)[joints]))

    def order(self, points: np.ndarray, time_s: float, *, size: float) -> np.ndarray:
        """Which joint (J,) of the pose is which: 0, 1, 2, ... unless limbs are swapped.

        points: (J, 2 or 3) px, unknown is NaN. size: of the person, px.
        """
        order, step_s = self._identity.copy(), time_s - self._time_s
        self._time_s = time_s
        for pair in self._pairs:
            if pair.swapped(points, step_s, max(size, 1.0)):
                order[pair.joints] = pair.twins
        return order
