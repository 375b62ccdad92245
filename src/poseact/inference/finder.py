"""Finding a person in a whole frame with the pose network itself; there is no detector.

The papers crop the whole frame once. A person who is small in it is missed that way, and a network
that was only trained on people predicts one everywhere. So anchors of several sizes are cropped,
the confident poses give proposals, and each proposal is refined and then cropped again with a
little shift: the joints of a real person stay in place, those of a false one move with the crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from poseact.core.geometry import iou, square
from poseact.inference.tracking import pose_box

SCALES = (1.0, 0.6, 0.36)
"""Sides of the anchors, in shorter sides of the frame."""
STEP = 0.4
"""From one anchor to the next, in their sides."""
SMALLEST_PX = 48
"""Smaller anchors hold no more than a blur."""
KEPT = 8
"""So many proposals are refined."""
JITTER = ((0.12, 0.12, 1.0), (-0.12, -0.12, 1.0), (0.0, 0.0, 1.25))
"""Shift x and y, in sides of the box, and scale of the crops that test a proposal."""
BATCH = 32


class Predicted(Protocol):
    """A pose in a box: joints (J, 2) px, their scores (J,), the box (4,) px."""

    @property
    def xy(self) -> np.ndarray: ...
    @property
    def score(self) -> np.ndarray: ...
    @property
    def box(self) -> np.ndarray: ...


S = TypeVar("S", bound=Predicted)


def anchors(size: tuple[int, int]) -> np.ndarray:
    """Squares (N, 4) px in which a person may be, in a frame of (width, height) px.

    First the square on the whole frame, as in the papers, then grids of smaller ones.
    """
    width, height = size
    boxes = [square(np.array([0.0, 0.0, width, height]))]
    for scale in SCALES:
        side = scale * min(size)
        if side < SMALLEST_PX and scale < 1:
            continue
        xs, ys = (_starts(length, side) for length in size)
        boxes += [np.array([x, y, x + side, y + side]) for x in xs for y in ys]
    return np.stack(boxes)


def _starts(length: float, side: float) -> np.ndarray:
    last = length - side
    return np.linspace(0, last, int(np.ceil(last / (STEP * side))) + 1) if last > 0 else np.zeros(1)


def find(
    predict: Callable[[np.ndarray], Sequence[S]], size: tuple[int, int], *, margin: float
) -> S:
    """The best pose of a person in a frame of (width, height) px.

    predict: runs the network on boxes (N, 4) px; its crops are larger than the boxes by `margin`.
    """
    boxes = square(anchors(size), margin=1 / margin)  # so that the crops are the anchors
    found = [s for i in range(0, len(boxes), BATCH) for s in predict(boxes[i : i + BATCH])]
    proposals = _suppressed(found, size)
    for _ in range(2):
        proposals = np.stack([pose_box(s.xy, s.score, size) for s in predict(proposals)])
    refined = predict(proposals)
    trust = [float(s.score.mean()) for s in refined] - 2 * _displacement(predict, refined)
    # Of two that are equally confident the larger one is whom the picture is about.
    sides = (proposals[:, 2:] - proposals[:, :2]).max(-1)
    return refined[int(np.argmax(trust + 0.15 * np.log2(sides / min(size))))]


def _suppressed(found: Sequence[Predicted], size: tuple[int, int]) -> np.ndarray:
    """Boxes (n, 4) of the most confident poses after non-maximum suppression."""
    kept: list[np.ndarray] = []
    for s in sorted(found, key=lambda s: -float(s.score.mean())):
        box = pose_box(s.xy, s.score, size)
        if all(iou(box, other) < 0.5 for other in kept):
            kept.append(box)
        if len(kept) == KEPT:
            break
    return np.stack(kept)


def _displacement(
    predict: Callable[[np.ndarray], Sequence[Predicted]], refined: Sequence[Predicted]
) -> np.ndarray:
    """How far joints move when the crop is shifted and scaled, in sides of the box (n,)."""
    boxes = np.stack([s.box for s in refined])
    side = (boxes[:, 2:] - boxes[:, :2]).max(-1, keepdims=True)
    moved = []
    for x, y, scale in JITTER:
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + np.array([x, y]) * side
        half = (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
        again = predict(np.concatenate([centre - half, centre + half], -1))
        moved.append([np.linalg.norm(a.xy - s.xy, axis=-1).mean() for a, s in zip(again, refined)])
    return np.mean(moved, 0) / side[:, 0]
