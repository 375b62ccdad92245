"""Where the person is in the next frame, and who it is.

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
