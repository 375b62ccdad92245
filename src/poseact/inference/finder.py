"""Finding a person in a whole frame with the pose network itself; there is no detector.

The papers look at the whole frame once. A person who is small in it is not seen that way, and a
network that was only ever shown people sees one everywhere. So windows of several sizes are looked
at, the promising ones are looked at closer, and then once more from a little aside: joints of a
real person stay where they are in the picture, imagined ones move along with the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from poseact.core.geometry import iou, square
from poseact.inference.tracking import pose_box

SCALES = (1.0, 0.6, 0.36)
"""Sides of the windows, in shorter sides of the frame."""
STEP = 0.4
"""From one window to the next, in their sides."""
SMALLEST_PX = 48
"""Smaller windows hold no more than a blur."""
KEPT = 8
"""So many candidates are looked at closer."""
ASIDE = ((0.12, 0.12, 1.0), (-0.12, -0.12, 1.0), (0.0, 0.0, 1.25))
"""Shift x and y, in sides of the box, and scale of the looks from aside."""
BATCH = 32


class Seen(Protocol):
    """What a look at a box must tell: joints (J, 2) px, their scores (J,), the box (4,) px."""

    @property
    def xy(self) -> np.ndarray: ...
    @property
    def score(self) -> np.ndarray: ...
    @property
    def box(self) -> np.ndarray: ...


S = TypeVar("S", bound=Seen)


def windows(size: tuple[int, int]) -> np.ndarray:
    """Squares (N, 4) px to look for somebody in, in a frame of (width, height) px.

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
    room = length - side
    return np.linspace(0, room, int(np.ceil(room / (STEP * side))) + 1) if room > 0 else np.zeros(1)


def find(look: Callable[[np.ndarray], Sequence[S]], size: tuple[int, int], *, margin: float) -> S:
    """The best look at a person in a frame of (width, height) px.

    look: runs the network on boxes (N, 4) px; its crops are larger than the boxes by `margin`.
    """
    boxes = square(windows(size), margin=1 / margin)  # so that the crops are the windows
    seen = [s for i in range(0, len(boxes), BATCH) for s in look(boxes[i : i + BATCH])]
    candidates = _apart(seen, size)
    for _ in range(2):
        candidates = np.stack([pose_box(s.xy, s.score, size) for s in look(candidates)])
    closer = look(candidates)
    trust = [float(s.score.mean()) for s in closer] - 2 * _wandering(look, closer)
    # Of two that are equally sure the larger one is whom the picture is about.
    sides = (candidates[:, 2:] - candidates[:, :2]).max(-1)
    return closer[int(np.argmax(trust + 0.15 * np.log2(sides / min(size))))]


def _apart(seen: Sequence[Seen], size: tuple[int, int]) -> np.ndarray:
    """Boxes (n, 4) of the most confident poses that do not show the same place."""
    kept: list[np.ndarray] = []
    for s in sorted(seen, key=lambda s: -float(s.score.mean())):
        box = pose_box(s.xy, s.score, size)
        if all(iou(box, other) < 0.5 for other in kept):
            kept.append(box)
        if len(kept) == KEPT:
            break
    return np.stack(kept)


def _wandering(look: Callable[[np.ndarray], Sequence[Seen]], seen: Sequence[Seen]) -> np.ndarray:
    """How far joints move when the same place is looked at from aside, in sides of the box (n,)."""
    boxes = np.stack([s.box for s in seen])
    side = (boxes[:, 2:] - boxes[:, :2]).max(-1, keepdims=True)
    moved = []
    for x, y, scale in ASIDE:
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + np.array([x, y]) * side
        half = (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
        again = look(np.concatenate([centre - half, centre + half], -1))
        moved.append([np.linalg.norm(a.xy - s.xy, axis=-1).mean() for a, s in zip(again, seen)])
    return np.mean(moved, 0) / side[:, 0]
