"""Where the person is in the next frame, who it is, and motion without jitter.

The papers' single-person way: the box of a frame is the box around the confident joints of the last
pose (the crop is larger, by the margin the network was trained with). There is no detector; a
person who is lost is searched for in the whole frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from poseact.core.geometry import box_around, iou, square
from poseact.core.types import Person

LOST_SCORE = 0.6
"""A pose whose mean joint score is lower is not believed, and not followed."""
LOST_FRAMES = 5
"""So many frames in a row that are not believed, and the person counts as lost."""


def confident(score: np.ndarray, *, threshold: float = 0.3) -> np.ndarray:
    """(J,) bool: the joints to build a box on.

    Those with a score of `threshold` or more, and never fewer than the better half, so that a
    network of low confidence still gives a box.
    """
    return score >= min(threshold, float(np.median(score)))


def pose_box(
    xy: np.ndarray,
    score: np.ndarray,
    size: tuple[int, int],
    *,
    min_side: float = 32.0,
) -> np.ndarray:
    """The person's box (4,) px from one pose: just around the confident joints.

    xy: (J, 2) px. score: (J,). size: (width, height) px of the frame. The box may leave the frame
    by a quarter of its longer side (a person cut by the border), no further, and its longer side
    is at least `min_side` px.
    """
    box = box_around(xy[confident(score)])
    spill = 0.25 * (box[2:] - box[:2]).max()
    width, height = size
    low = np.array([-spill, -spill])
    high = np.array([width + spill, height + spill])
    box = np.concatenate([np.clip(box[:2], low, high), np.clip(box[2:], low, high)])
    if (box[2:] - box[:2]).max() < min_side:
        centre = np.clip((box[:2] + box[2:]) / 2, 0, [width, height])
        return np.concatenate([centre - min_side / 2, centre + min_side / 2])
    return box


def next_box(person: Person, size: tuple[int, int], *, keep_iou: float = 0.8) -> np.ndarray:
    """The box (4,) px to look into in the frame after the one `person` was seen in.

    While the squares on the old and the new box overlap by `keep_iou` or more the old one stays:
    the action head reads poses in crop coordinates and was trained on clips with one crop, so
    a crop that trembles looks like motion. At 0.8 a person of constant size has moved by a ninth of
    the side, which a crop of 1.25 boxes still holds. size: (width, height) px.
    """
    box = pose_box(person.xy, person.score, size)
    return person.box if iou(square(person.box), square(box)) >= keep_iou else box


def lost(
    scores: Sequence[float], *, threshold: float = LOST_SCORE, frames: int = LOST_FRAMES
) -> bool:
    """Whether the mean joint score was under `threshold` in each of the last `frames` frames."""
    recent = list(scores)[-frames:]
    return len(recent) == frames and max(recent) < threshold


def identify(
    before: Sequence[Person], boxes: np.ndarray, *, new_track: int, min_iou: float = 0.3
) -> list[int]:
    """Track numbers for the boxes (N, 4) px of this frame, given the people of the last one.

    Pairs are made from the largest overlap down; a box that overlaps nobody by `min_iou` gets
    `new_track`, `new_track + 1` and so on.
    """
    pairs = sorted(
        ((iou(p.box, b), i, n) for i, p in enumerate(before) for n, b in enumerate(boxes)),
        reverse=True,
    )
    tracks: dict[int, int] = {}
    used: set[int] = set()
    for overlap, i, n in pairs:
        if overlap >= min_iou and i not in used and n not in tracks:
            tracks[n] = before[i].track
            used.add(i)
    fresh = iter(range(new_track, new_track + len(boxes)))
    return [tracks[n] if n in tracks else next(fresh) for n in range(len(boxes))]


class OneEuro:
    """One Euro filter for points: steady when they rest, prompt when they move.

    Casiez, Roussel, Vogel, "1 Euro Filter", CHI 2012. Speeds are divided by the `scale` given with
    each frame (the side of the person's box, say), so the same settings serve pixels and
    millimetres. min_cutoff_hz: cut-off at rest. beta: Hz of cut-off per scale a second of speed.
    """

    def __init__(
        self, *, min_cutoff_hz: float = 1.5, beta: float = 10.0, speed_cutoff_hz: float = 1.0
    ) -> None:
        self._min_cutoff_hz = min_cutoff_hz
        self._beta = beta
        self._speed_cutoff_hz = speed_cutoff_hz
        self._time_s: float | None = None
        self._points = np.empty(0)
        self._velocity = np.empty(0)

    def __call__(self, points: np.ndarray, time_s: float, *, scale: float) -> np.ndarray:
        """The points (J, D) of the frame at `time_s`, smoothed.

        An unknown (NaN) joint stays unknown and starts anew when it comes back. The first frame,
        or one whose time does not advance, passes unchanged.
        """
        if self._time_s is None or time_s <= self._time_s or points.shape != self._points.shape:
            self._points, self._velocity = points, np.zeros_like(points)
        else:
            step_s = time_s - self._time_s
            self._advance(points, step_s, scale)
        self._time_s = time_s
        return self._points

    def _advance(self, points: np.ndarray, step_s: float, scale: float) -> None:
        known = ~np.isnan(self._points) & ~np.isnan(points)
        velocity = np.where(known, (points - self._points) / step_s, 0.0)
        weight = _blend(np.asarray(self._speed_cutoff_hz), step_s)
        self._velocity = self._velocity + weight * (velocity - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True) / scale
        weight = _blend(self._min_cutoff_hz + self._beta * speed, step_s)
        smooth = self._points + weight * (points - self._points)
        self._points = np.where(known, smooth, points)


def _blend(cutoff_hz: np.ndarray, step_s: float) -> np.ndarray:
    """Weight of the new value in a first-order low-pass filter."""
    return 1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff_hz * step_s))
