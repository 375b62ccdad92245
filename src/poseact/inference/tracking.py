"""Who is who: boxes of poses, and pairs of people in frames that follow each other.

Boxes as in the papers: around the confident joints of the last pose (the crop is larger, by the
margin the network was trained with). Pairs by assignment (Kuhn, "The Hungarian method", 1955).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from poseact.core.geometry import box_around, iou, overlaps, square
from poseact.core.layouts import Layout
from poseact.core.types import Person

LIKENESS = 0.1
"""Sides of a person by which joints may differ in two poses that are alike (as OKS's k)."""
CLOTHES = (
    ("l_shoulder", "r_shoulder", "l_hip", "r_hip"),
    ("l_hip", "l_knee"),
    ("r_hip", "r_knee"),
    ("l_shoulder", "l_elbow"),
    ("r_shoulder", "r_elbow"),
    ("l_knee", "l_ankle"),
    ("r_knee", "r_ankle"),
)
"""The means of these joints are where colours are read."""


# --------------------------------------------------------------------------------------- boxes


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


FLESH = 0.05
"""Of the longer side: what a body is larger than the box of its joints, on each side."""


def without_flesh(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) px of joints, from boxes of whole bodies."""
    sides = boxes[:, 2:] - boxes[:, :2]
    thin = np.minimum(FLESH * sides.max(1, keepdims=True, initial=0), 0.25 * sides)
    return np.concatenate([boxes[:, :2] + thin, boxes[:, 2:] - thin], 1)


def with_flesh(boxes: np.ndarray) -> np.ndarray:
    """Boxes (n, 4) px of whole bodies, from boxes of joints."""
    thick = FLESH * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True, initial=0)
    return np.concatenate([boxes[:, :2] - thick, boxes[:, 2:] + thick], 1)


def steady(box: np.ndarray, body: np.ndarray, *, keep_iou: float = 0.8) -> np.ndarray:
    """The box (4,) px to look into for somebody with the box `body`, who was looked for in `box`.

    While the squares on the old and the new box overlap by `keep_iou` or more the old one stays:
    the action head reads poses in crop coordinates and was trained on clips with one crop, so
    a crop that trembles looks like motion. At 0.8 a person of constant size has moved by a ninth of
    the side, which a crop of 1.25 boxes still holds.
    """
    return box if iou(square(box), square(body)) >= keep_iou else body


# --------------------------------------------------------------------------------------- pairs


def assign(cost: np.ndarray, *, limit: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the least total cost (n, m), none of which costs more than `limit`."""
    from scipy.optimize import linear_sum_assignment  # a second to import, and pictures need none

    allowed = np.where(np.isfinite(cost) & (cost <= limit), cost, 1e6)
    rows, columns = linear_sum_assignment(allowed)
    return [(int(r), int(c)) for r, c in zip(rows, columns) if allowed[r, c] <= limit]


def identify(
    before: Sequence[Person], boxes: np.ndarray, *, new_track: int, min_iou: float = 0.3
) -> list[int]:
    """Track numbers for the boxes (N, 4) px of this frame, given the people of the last one.

    Pairs overlap the most in sum; a box that overlaps nobody by `min_iou` gets `new_track`,
    `new_track + 1` and so on.
    """
    old = np.array([p.box for p in before], float).reshape(-1, 4)
    new = np.asarray(boxes, float).reshape(-1, 4)
    pairs = assign(1 - overlaps(old, new), limit=1 - min_iou)
    tracks = {n: before[i].track for i, n in pairs}
    fresh = iter(range(new_track, new_track + len(boxes)))
    return [tracks[n] if n in tracks else next(fresh) for n in range(len(boxes))]


def likeness(a: np.ndarray, b: np.ndarray, side: float) -> float:
    """How alike two poses (J, 2) px of people of `side` px are, 0..1: OKS with one k for all."""
    apart = np.linalg.norm(a - b, axis=-1) / (LIKENESS * max(side, 1.0))
    return float(np.nan_to_num(np.exp(-(apart**2) / 2)).mean())


def clothing(rgb: np.ndarray, xy: np.ndarray, layout: Layout) -> np.ndarray:
    """Colours (7, 3) of somebody's trunk and limbs, CIE L*a*b* with a dimmed L*; NaN outside.

    What tells people of one scene apart best at a glance, and costs next to nothing. xy: (J, 2) px.
    """
    height, width = rgb.shape[:2]
    points = [xy[[layout.index(joint) for joint in joints]].mean(0) for joints in CLOTHES]
    reach = max(round(float(np.nanmax(np.ptp(xy, 0))) * 0.03), 1)
    colours = np.full((len(CLOTHES), 3), np.nan)
    for n, (x, y) in enumerate(points):
        if 0 <= x < width and 0 <= y < height:
            x, y = int(x), int(y)
            patch = rgb[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
            colours[n] = np.median(patch.reshape(-1, 3), 0)
    lab = cv2.cvtColor(np.nan_to_num(colours)[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = lab[0].astype(np.float64) * (0.5, 1.0, 1.0)  # light changes more than colour
    return np.where(np.isnan(colours), np.nan, lab)


def colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance of colours (7, 3) where both are known; NaN if none are."""
    apart = np.linalg.norm(a - b, axis=-1)
    return float(apart[np.isfinite(apart)].mean()) if np.isfinite(apart).any() else np.nan
